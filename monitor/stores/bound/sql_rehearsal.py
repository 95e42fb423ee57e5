"""Whether policies forbid an attempt, asked so that the refusal, which is wanted, is no error in the server's log.

A DO block makes the attempt in a subtransaction that ends by an exception of its own, whatever was done in it. Such a
block has no parameters: values stand in it as literals. They are of our own making.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from secrets import token_hex

FORBIDDEN = "SELECT current_setting('holdfast.forbidden')"
"""`yes` or `no`, after the block."""

_BLOCK = """DO {quote}
BEGIN
    {attempts}
    RAISE EXCEPTION 'taken back' USING ERRCODE = 'HF000';
EXCEPTION
    WHEN SQLSTATE 'HF000' THEN PERFORM set_config('holdfast.forbidden', 'no', true);
    WHEN insufficient_privilege THEN PERFORM set_config('holdfast.forbidden', 'yes', true);
END
{quote}"""


def block(statements: Iterable[str]) -> str:
    """The block that makes an attempt of some statements, and takes it back."""
    outer, inner = (f"$holdfast_{token_hex(4)}$" for _ in range(2))
    attempts = " ".join(f"EXECUTE {inner}{statement}{inner};" for statement in statements)
    return _BLOCK.format(quote=outer, attempts=attempts)


def literal(value: object, *, schema: str, name: str) -> str:
    """A value as it is sent, written as what the server has there."""
    element = name.removesuffix("[]")
    array = "[]" if element != name else ""
    kind = f"{element}{array}" if schema == "pg_catalog" else f"{_identifier(schema)}.{_identifier(element)}{array}"
    return f"CAST({_text(value)} AS {kind})"


def _text(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case list():
            return f"ARRAY[{', '.join(map(_text, value))}]"
        case datetime() | date():
            return f"'{value.isoformat()}'"
        case _:
            written = str(value).replace("\\", "\\\\").replace("'", "''")
            return f"E'{written}'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
