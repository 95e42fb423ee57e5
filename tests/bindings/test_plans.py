"""What `holdfast plan` shows of probes that go through a binding: every shipped one, in every layer that it has."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

import monitor.probes
from monitor.bindings import ApiThreads, Binding
from monitor.bindings.api import ApiProfile
from monitor.bindings.postgres import SqlProfile, SqlThreads
from monitor.ports import Store
from monitor.probe import discover
from monitor.stores.bound.plans import _PROFILES, _TENANTS, _THREADS, sent_instead, sent_keys, sent_singly
from monitor.stores.operations import CATALOGUE
from tests.bindings.schemas import ROOT

PROBES = {name: made() for name, made in discover(monitor.probes).items()}
SHIPPED = sorted(path.stem for path in (ROOT / "config/bindings").glob("*.yaml"))
LAYERS = ("postgres", "redis", "api")


def described(name: str) -> dict[str, Any]:
    """A shipped binding as values, all its layers."""
    given: dict[str, Any] = yaml.safe_load((ROOT / f"config/bindings/{name}.yaml").read_text(encoding="utf-8"))
    return given


def layers(name: str) -> list[Binding]:
    """The binding as it is, with each of its layers alone, and by each of its ways."""
    given = described(name)
    there = [layer for layer in LAYERS if layer in given]
    wanted: list[dict[str, Any]] = [given]
    if len(there) > 1:
        wanted += [{key: value for key, value in given.items() if key not in {*there} - {layer}} for layer in there]
    for what in ("threads", "profile"):
        ways = [layer for layer in ("postgres", "api") if what in given.get(layer, {})]
        wanted += [{**given, what: {"write": write, "read": read}} for write in ways for read in ways]
    return [Binding.model_validate(each) for each in wanted]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_binding_is_planned_in_every_layer(name: str) -> None:
    """Whatever a probe asks is shown for the layers that are bound, and for no other."""
    for binding in layers(name):
        bound = {Store(layer) for layer in LAYERS if getattr(binding, layer) is not None}
        for probe in binding.served():
            shown = set[Store]()
            for use in PROBES[probe].plan():
                if use.store is Store.REDIS:
                    shown |= {Store.REDIS} if sent_keys(binding, probe, use.operation, CATALOGUE[use.store]) else set()
                else:
                    found = sent_instead(binding, probe, use.operation)
                    assert found is None or all(found.values())
                    shown |= {*(found or {})}
            own = {Store.REDIS} if probe in {"isolation", "notify"} else set[Store]()
            assert shown <= bound | own
            assert shown or probe == "notify"


def test_what_stands_for_an_operation_is_a_key_of_its_layer() -> None:
    """No operation is shown by a key that statements or requests do not have."""
    for asked, sql, api in ((_THREADS, SqlThreads, ApiThreads), (_TENANTS, SqlThreads, ApiThreads)):
        for asks in asked.values():
            assert {*asks.keys("postgres")} <= {*sql.model_fields}
            assert {*asks.keys("api")} <= {*api.model_fields}
    for asks in _PROFILES.values():
        assert {*asks.keys("postgres")} <= {*SqlProfile.model_fields}
        assert {*asks.keys("api")} <= {*ApiProfile.model_fields}


def test_a_history_is_appended_one_by_one_where_no_request_takes_several() -> None:
    """The request for one message is shown for the batch of `history`, and none for that of `thread`."""
    binding = Binding.model_validate(described("openai-threads"))
    assert sent_instead(binding, "history", "append_batch") == sent_instead(binding, "history", "append_message") != {}
    assert sent_instead(binding, "thread", "append_batch") == {}
    assert sent_singly(binding, "history", "append_batch")
    assert not sent_singly(binding, "thread", "append_batch")
    assert not sent_singly(Binding.model_validate(described("supabase")), "history", "append_batch")
