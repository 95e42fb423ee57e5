"""What a sweep may take, and what only looks like it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitor.core.residue import (
    Broom,
    Instance,
    index_key,
    key_of,
    ledgers_key,
    record_key,
    records_key,
    register_key,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWN = Instance("0badcafe", 7)
OWN_AGE = timedelta(minutes=5)
BROOM = Broom(environment="prod", instance=OWN, own_age=OWN_AGE)

IDS = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
NAMES = st.from_regex(r"[a-z-]{1,32}", fullmatch=True)
AGES = st.integers(-3_600_000, 30 * 86_400_000).map(lambda each: timedelta(milliseconds=each))
OTHER_ENVIRONMENTS = st.sampled_from(["prod2", "prod-2", "pro", "prod_", "p", "staging", "prod-eu", "0prod"])


def run_id(age: timedelta, bits: int = 0) -> str:
    """The UUIDv7 of a run that began so long ago."""
    milliseconds = int((NOW - age).timestamp() * 1000)
    return str(UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62 | bits % 2**62))


def key(
    age: timedelta, *, environment: str = "prod", instance: Instance = OWN, name: str = "own", bits: int = 0
) -> str:
    """A key of Holdfast's."""
    return key_of(environment, instance, run_id(age, bits), name, kind="session")


@given(age=AGES, incarnation=st.integers(0, 6), name=NAMES, bits=st.integers(0))
def test_earlier_incarnations_are_always_taken(age: timedelta, incarnation: int, name: str, bits: int) -> None:
    """What this daemon wrote before its latest start nobody will ask for again, however young it is."""
    assert BROOM.takes(key(age, instance=Instance(OWN.id, incarnation), name=name, bits=bits), NOW)


@given(age=AGES, name=NAMES, bits=st.integers(0))
def test_the_present_incarnation_is_taken_only_when_older_than_any_run(age: timedelta, name: str, bits: int) -> None:
    """A run that is under way keeps its keys."""
    assert BROOM.takes(key(age, name=name, bits=bits), NOW) == (age > OWN_AGE)


@given(age=AGES, id_=IDS, incarnation=st.integers(0, 10**9 - 1), bits=st.integers(0))
def test_other_daemons_are_left_an_hour(age: timedelta, id_: str, incarnation: int, bits: int) -> None:
    """Another daemon's record is a leftover after an hour, and never before."""
    assume(id_ != OWN.id)
    taken = BROOM.takes(key(age, instance=Instance(id_, incarnation), bits=bits), NOW)
    assert taken == (age > timedelta(hours=1))


@given(age=AGES, environment=OTHER_ENVIRONMENTS, instance=st.builds(Instance, IDS, st.integers(0, 99)))
def test_other_environments_are_never_taken(age: timedelta, environment: str, instance: Instance) -> None:
    """An environment whose name begins like ours, or that we begin like, is somebody else's, whatever the age."""
    assert not BROOM.takes(key(age, environment=environment, instance=instance), NOW)
    assert not BROOM.takes(key(age, environment=environment, instance=OWN), NOW)


OLD = key(timedelta(days=2))


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "holdfast:",
        "holdfast:prod",
        OLD.upper(),
        OLD.replace("holdfast", "Holdfast"),
        OLD.replace("prod", "PROD"),
        OLD.replace("prod", "*"),
        OLD.replace("prod", "pro?"),
        OLD.replace("prod", "[prod]"),
        OLD.replace("prod", "prod:prod"),
        OLD.replace("0badcafe", "0BADCAFE"),
        OLD.replace("0badcafe", "badcafe"),
        OLD.replace("-7:", "-\u0667:"),
        OLD.replace("-7:", "-:"),
        OLD.replace("-7:", ":"),
        OLD.replace("-7:", "-7-7:"),
        OLD.replace(":session:", ":Session:"),
        OLD.replace(":session:", ":thread:"),
        OLD.replace(":session:", "::session:"),
        OLD + ":more",
        OLD + "\n",
        OLD + "*",
        OLD.replace(":own", ":"),
        OLD.replace(":own", ":own2"),
        OLD.replace(":own", ":own name"),
        " " + OLD,
        "app:" + OLD,
        OLD.replace("-7", "-4", 2),
        index_key("prod", OWN.id),
    ],
)
def test_look_alikes_are_foreign(foreign: str) -> None:
    """Whatever does not have the exact form is somebody's own key, and stays."""
    assert foreign != OLD
    assert BROOM.takes(OLD, NOW)
    assert not BROOM.takes(foreign, NOW)


@settings(max_examples=500)
@given(place=st.integers(0, len(OLD)), inserted=st.text(min_size=1, max_size=3), removed=st.integers(0, 3))
def test_an_altered_key_is_taken_only_if_it_is_again_one_of_ours(place: int, inserted: str, removed: int) -> None:
    """A key with any small change is either exactly a key that Holdfast makes for this environment, or stays."""
    altered = OLD[:place] + inserted + OLD[place + removed :]
    if BROOM.takes(altered, NOW):
        prefix, environment, mark, what, run, name = altered.split(":")
        id_, incarnation = mark.split("-")
        assert (prefix, environment, what) == ("holdfast", "prod", "session")
        assert altered == key_of("prod", Instance(id_, int(incarnation)), str(UUID(run)), name, kind="session")


@given(st.text())
def test_no_other_text_is_taken(text: str) -> None:
    """Any text at all, with or without the prefix, stays."""
    assert not BROOM.takes(text, NOW)
    assert not BROOM.takes(f"holdfast:prod:{text}", NOW)


def test_a_key_names_its_index() -> None:
    """All incarnations of a daemon share one index; a foreign key has none."""
    assert BROOM.index_of(OLD) == "holdfast:prod:0badcafe:keys"
    assert BROOM.index_of("user:42") is None


@given(environment=st.sampled_from(["prod", "prod2"]), daemon=IDS, series=IDS, n=st.integers(1, 2**62), age=AGES)
def test_what_a_ledger_keeps_is_never_taken(environment: str, daemon: str, series: str, n: int, age: timedelta) -> None:
    """Registers, records and their indexes are no leftovers, whoever sweeps, and however old they are."""
    kept = [
        register_key(environment, daemon),
        record_key(environment, daemon, series, n),
        records_key(environment, daemon),
        ledgers_key(environment),
    ]
    broom = Broom(environment=environment, instance=Instance(daemon, 7), own_age=timedelta(), any_age=timedelta())
    assert not any(broom.takes(each, NOW + age) for each in kept)
    assert len(set(kept)) == len(kept)
    assert all(each.startswith("holdfast:") for each in kept)


@pytest.mark.parametrize("kind", ["canary", "ballast"])
def test_what_a_probe_of_memory_leaves_is_taken(kind: str) -> None:
    """Canaries and ballast are leftovers as soon as no run needs them."""
    left = key_of("prod", OWN, run_id(2 * OWN_AGE), "piece-ab", kind=kind)
    assert BROOM.takes(left, NOW)
    assert not BROOM.takes(key_of("prod", OWN, run_id(OWN_AGE / 2), "piece-ab", kind=kind), NOW)
