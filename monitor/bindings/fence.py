"""Whether a statement can touch nothing but what is synthetic: the rows that ids of ours lead to.

Every table that it reads or changes must be fenced: a condition that holds for every row, not one beside an OR or of an
outer join that only fills in nulls, equates a column with an id of ours, or with a column of what is fenced already.
What functions do inside is not seen here; whoever names one in a binding answers for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from monitor.bindings.statements import SENTINELS, compiled, listed, tokens_of

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

Kind: TypeAlias = Literal["begin", "clean", "other"]
_ALLOWED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "(", "VALUES")
_INSTEAD = {
    "BEGIN": "Holdfast begins and ends transactions itself",
    "START": "Holdfast begins and ends transactions itself",
    "COMMIT": "Holdfast begins and ends transactions itself",
    "END": "Holdfast begins and ends transactions itself",
    "ROLLBACK": "Holdfast begins and ends transactions itself",
    "TRUNCATE": "use DELETE with an id of ours",
    "MERGE": "use INSERT … ON CONFLICT, which says whose row it changes",
    "COPY": "use INSERT, one row each",
    "CALL": "call a function by SELECT, which can be given :user_id",
    "DO": "call a function by SELECT, which can be given :user_id",
    "RESET": "use SET LOCAL, which ends with the transaction",
    "LOCK": "rows that are changed are locked anyway",
}

_GUARDS = frozenset({"statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"})


def fenced(sql: str, *, kind: Kind = "other", ids: Sequence[str] = ()) -> None:
    """Raise ValueError, which names what was found and the next step, where a statement could touch or read more.

    `ids` are the parameters by which it can be fenced here.
    """
    words = tokens_of(sql)
    first = _only_one(words)
    if first == "SET" and kind == "begin":
        _ends_with_the_transaction(words)
        return
    if first == "SET":
        raise ValueError("SET has no place here; what a transaction begins with stands in `begin`")
    if first not in _ALLOWED:
        step = _INSTEAD.get(first, "a binding consists of SELECT, INSERT, UPDATE and DELETE")
        raise ValueError(f"{first} is not for a binding; {step}")
    if any(word.text == "$" for word in words):
        raise ValueError("parameters have names here: write :thread_id where it says $1")
    names = compiled(sql).names
    if kind != "begin" and not SENTINELS.intersection(names):
        raise ValueError(f"names no id of Holdfast's own; give it one of {listed(ids)}")

    from monitor.bindings.scopes import Fence  # noqa: PLC0415  sqlglot costs a daemon without a binding 50 ms
    from monitor.bindings.trees import parsed  # noqa: PLC0415  the same

    tree = parsed(sql)
    _settings_are_local(tree)
    Fence(ids=ids).check(tree)
    if kind == "clean":
        _only_what_is_old(tree, names)


def _only_one(words: Sequence[Token]) -> str:
    """The first word, in capitals. Raises ValueError where there is none, or where a second statement follows."""
    if not words:
        raise ValueError("is empty; write a statement, or leave it out")
    ends = [place for place, word in enumerate(words) if word.text == ";"]
    if ends and ends[0] < len(words) - 1:
        raise ValueError("holds several statements; write them as a list, one each")
    return str(words[0].text).upper()


def _ends_with_the_transaction(words: Sequence[Token]) -> None:
    texts = [word.text.upper() for word in words]
    _leaves_guards(text.lower() for text in texts)
    if texts[1:2] != ["LOCAL"]:
        raise ValueError("SET outlives the transaction, and a pooler's next client inherits it; use SET LOCAL")
    if ":" in texts:
        raise ValueError("SET LOCAL takes no parameters; use SELECT set_config('app.user_id', :user_id, true)")


def _leaves_guards(settings: Iterable[str]) -> None:
    if found := next((name for name in settings if name in _GUARDS), None):
        raise ValueError(f"{found} is Holdfast's own guard of the server; leave it out, and see `timeout` of probes")


def _settings_are_local(tree: exp.Expr) -> None:
    from sqlglot import exp  # noqa: PLC0415  as above

    for call in tree.find_all(exp.Anonymous):
        if call.name.lower() != "set_config":
            continue
        _leaves_guards(text.name.lower() for text in call.expressions[:1])
        last = call.expressions[-1] if len(call.expressions) == 3 else None  # noqa: PLR2004  set_config(name, value, is_local)
        local = isinstance(last, exp.Boolean) and last.this
        if not local:
            raise ValueError(
                "set_config without `true` as its third argument outlives the transaction, and a pooler's next client"
                " inherits it; write set_config(…, …, true)"
            )


def _only_what_is_old(tree: exp.Expr, names: Collection[str]) -> None:
    """What is swept must be of a user, and older than any run that is under way."""
    from sqlglot import exp  # noqa: PLC0415  as above

    from monitor.bindings.trees import shown  # noqa: PLC0415  as above

    if "user_id" not in names:
        raise ValueError("does not say whose leftovers it removes; add `= :user_id`")
    if not {"before", "before_ms"}.intersection(names):
        raise ValueError("would take what a run under way needs; add AND created_at < :before")
    for age in tree.find_all(exp.Placeholder):
        if age.name not in {"before", "before_ms"}:
            continue
        node: exp.Expr | None = age
        while node is not None and not isinstance(node, exp.Where):
            if node.key in {"or", "not", "case"}:
                raise ValueError(
                    f"would take what a run under way needs: `{shown(node)}` holds for others, too; add"
                    " AND created_at < :before"
                )
            node = node.parent
        if node is None:
            raise ValueError("uses :before outside of WHERE; add AND created_at < :before there")
