"""Which of Holdfast's own writes a server has, seen by others than Holdfast: a trigger, and plain SQL."""

from __future__ import annotations

import asyncpg

# Each move of a register leaves its mark in the very same transaction, so that both are kept or both are lost.
WATCH = """\
CREATE TABLE public.lab_marks (mark text);
CREATE FUNCTION public.lab_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN INSERT INTO public.lab_marks VALUES (NEW.mark); RETURN NEW; END';
CREATE TRIGGER lab_note AFTER INSERT OR UPDATE ON holdfast.ledger_registers
    FOR EACH ROW EXECUTE FUNCTION public.lab_note();
"""
MARKS = "SELECT mark FROM public.lab_marks"
RECORDS = "SELECT series || '/' || n AS mark FROM holdfast.ledger_records"


async def watch(dsn: str) -> None:
    """Note each move of Holdfast's register from now on."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(WATCH)
    finally:
        await connection.close()


async def noted(dsn: str) -> tuple[set[str], set[str]]:
    """The marks of all moves that this server has, and those of the records."""
    connection = await asyncpg.connect(dsn)
    try:
        moves, records = await connection.fetch(MARKS), await connection.fetch(RECORDS)
    finally:
        await connection.close()
    return {row["mark"] for row in moves}, {row["mark"] for row in records}
