"""`holdfast check` of an environment whose probes go through a binding: what it leaves in the application's tables."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from tempfile import TemporaryFile

from tests.system import ENVIRONMENT, holdfast, spawn, until
from tests.system.conftest import Place
from tests.system.test_bind import made, rows

_ENDED_BY_SIGTERM = 128 + signal.SIGTERM
_DAWDLE = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NEW; END $$;
CREATE TRIGGER dawdles BEFORE INSERT ON chat_messages FOR EACH ROW EXECUTE FUNCTION dawdle();
"""
_HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'held'; END $$;
CREATE TRIGGER holds BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION hold();
"""


async def bound(place: Place) -> Path:
    """An application that deletes softly and whose conversations have a parent, a user; -> the configuration."""
    file = await made(place, "numbers")
    values = place.values(probes={"thread": {"budget": "9s"}})
    values["environments"][ENVIRONMENT]["binding"] = file.name
    return place.configured(values)


async def test_nothing_stays_where_deleting_is_soft(place: Place) -> None:
    """After a round neither what was deleted softly nor the parents are there, also of users whom no daemon has."""
    ended = await holdfast("check", "--config", await bound(place), "--probe", "thread")
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert await rows(place, "numbers") == [0, 0, 0]


async def test_nothing_stays_of_a_round_that_is_interrupted(place: Place) -> None:
    """SIGTERM in the middle of a round ends it with 143, and what it had written goes."""
    file = await bound(place)
    await place.sql(_DAWDLE)
    with TemporaryFile() as out:
        words = ("check", "--config", file, "--probe", "thread")
        process = spawn(*words, out=out.fileno(), err=out.fileno())

        async def writing() -> bool:
            return (await rows(place, "numbers"))[1] > 0

        await until(writing, what="a conversation")
        os.kill(process.pid, signal.SIGTERM)
        await until(lambda: process.poll() is not None, what="the end of the check")
        out.seek(0)
        assert (process.wait(), out.read().decode()) == (_ENDED_BY_SIGTERM, "")
    assert await rows(place, "numbers") == [0, 0, 0]


async def test_what_cannot_be_removed_is_told_and_changes_no_verdict(place: Place) -> None:
    """Where the application's tables refuse to be cleaned, that is said beside the verdict, which stays."""
    file = await bound(place)
    await place.sql(_HOLD)
    ended = await holdfast("check", "--config", file, "--probe", "thread")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "✔ ok")
    assert f"{ENVIRONMENT} postgres: what this check left could not be removed: " in ended.err
