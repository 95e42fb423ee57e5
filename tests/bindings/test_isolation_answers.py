"""What an API answers, and what it has done, are two things: a small service that can be told to do the one alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count

import pytest

from monitor.bindings import Binding
from monitor.bindings.guards import asks_whose, names_who, tables_of
from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.ports import Store
from monitor.probes.isolation import IsolationProbe
from monitor.stores.api import ApiAddress
from tests.bindings.scripted import Heard, reply, scripted, tokens
from tests.conftest import MakeSite
from tests.probes.breaking import RIGHT

PROBE = IsolationProbe(users=2)
TOKENS = ("token-of-ann", "token-of-bob")
BINDING = Binding.model_validate(
    {
        "ids": {"thread": {"kind": "text", "made_by": "server"}, "message": {"kind": "text", "made_by": "server"}},
        "messages": {"metadata": "no", "names": False},
        "api": {
            "threads": {
                "create": {"method": "POST", "path": "/t", "returns": {"thread_id": "id"}},
                "append": {
                    "method": "POST",
                    "path": "/t/{thread_id}/m",
                    "body": {"content": "{content}", "role": "{role}"},
                    "returns": {"message_id": "id"},
                },
                "load": {"path": "/t/{thread_id}", "returns": {"thread_id": "id"}},
                "messages": {
                    "path": "/t/{thread_id}/m",
                    "items": "items",
                    "returns": {"message_id": "id", "role": "role", "content": "content"},
                },
                "edit": {
                    "method": "PUT",
                    "path": "/t/{thread_id}/m/{message_id}",
                    "body": {"content": "{content}", "role": "{role}"},
                },
                "delete": {"method": "DELETE", "path": "/t/{thread_id}"},
            }
        },
    }
)


@dataclass
class Service:
    """Threads by id: their owner's token, and their messages by id. Bugs are names of what is done wrong."""

    bugs: frozenset[str] = frozenset()
    threads: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    ids: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    async def answer(self, heard: Heard) -> AsyncIterator[bytes]:
        """Who asks, for what, and whether it is his."""
        who = heard.token
        if who not in TOKENS and not ("anybody" in self.bugs and who) and not ("nobody" in self.bugs and not who):
            yield reply(401)
            return
        if heard.target == "/t":
            self.threads[thread := f"t{self.ids()}"] = (who, {})
            yield reply(201, {"id": thread})
            return
        _, _, thread, *rest = heard.target.split("/")
        owner, messages = self.threads.get(thread, ("", {}))
        strange = owner != who and who in TOKENS
        if not owner or (strange and "answers kindly" not in self.bugs and "too late" not in self.bugs):
            yield reply(404)
        elif strange and "answers kindly" in self.bugs:
            yield reply(200, {"items": []})
        elif strange and heard.method == "GET":
            secret = {"error": f"not yours: {messages}"} if "tells in its error" in self.bugs else {}
            yield reply(403, secret)
        else:
            done = self.done(heard, thread, messages, rest)
            yield reply(404) if strange else reply(200, done)

    def done(self, heard: Heard, thread: str, messages: dict[str, str], rest: list[str]) -> object:
        """Do it; -> the answer."""
        match heard.method, rest:
            case "POST", _:
                messages[made := f"m{self.ids()}"] = heard.json["content"]
                return {"id": made}
            case "PUT", [_, message]:
                messages[message] = heard.json["content"]
            case "DELETE", _:
                del self.threads[thread]
            case _, []:
                return {"id": thread}
        return {"items": [{"id": each, "role": "user", "content": content} for each, content in messages.items()]}


async def run(make_site: MakeSite, *bugs: str) -> tuple[RunRecord, Service]:
    """One run, and the service afterwards."""
    service = Service(frozenset(bugs))
    async with scripted(service.answer) as server:
        address = ApiAddress(base_url=server.url, auth=tokens(*TOKENS))
        site = await make_site(
            postgres_dsn=None,
            redis_url=None,
            api=address,
            binding=BINDING,
            provision=False,
            connections=dict.fromkeys(Store, 4),
        )
        return await site.run(PROBE), service


@pytest.mark.parametrize("bugs", [(), ("answers kindly",)], ids=["404", "200 and nothing in it"])
async def test_what_is_answered_is_no_leak_where_nothing_came_of_it(make_site: MakeSite, bugs: tuple[str, ...]) -> None:
    """A 200 with an empty list, and one to a change that was not made, are as good as a refusal; nothing is left."""
    record, service = await run(make_site, *bugs)
    assert record.verdict in RIGHT, record.finding.message
    assert service.threads == {}


LEAKS: dict[str, tuple[tuple[str, ...], set[str], set[str]]] = {
    "a 404 that came too late": (("too late",), {"append", "edit", "delete"}, {"holdfast-user-0", "holdfast-user-1"}),
    "an error that tells": (
        ("too late", "tells in its error"),
        {"append", "edit", "delete", "messages", "load"},
        {"holdfast-user-0", "holdfast-user-1"},
    ),
    "no token is needed": (
        ("nobody",),
        {"append", "edit", "delete", "messages", "load"},
        {"whoever is no user"},
    ),
    "any token will do": (
        ("anybody",),
        {"append", "edit", "delete", "messages", "load"},
        {"whoever brings a token that nobody gave"},
    ),
}


@pytest.mark.parametrize("name", LEAKS)
async def test_what_came_of_it_is_a_leak_whatever_was_answered(make_site: MakeSite, name: str) -> None:
    """Who reached something is named, by which request, and no secret of anybody."""
    bugs, requests, viewers = LEAKS[name]
    record, _ = await run(make_site, *bugs)
    assert {violation.kind for violation in record.finding.violations} == {Kind.LEAKED}, record.finding.message
    subjects = {violation.subject.partition(" (")[0] for violation in record.finding.violations}
    assert subjects == {f"threads.{request}" for request in requests}
    assert {who for violation in record.finding.violations for who in violation.evidence["reached"]} == viewers
    assert "holdfast-secret" not in repr(record)


async def test_who_asks_too_often_learns_nothing(make_site: MakeSite) -> None:
    """A 429 is neither a refusal nor a leak."""

    async def busy(_: Heard) -> AsyncIterator[bytes]:
        yield reply(429, Retry_After="60")

    async with scripted(busy) as server:
        address = ApiAddress(base_url=server.url, auth=tokens(*TOKENS))
        site = await make_site(
            postgres_dsn=None, redis_url=None, api=address, binding=BINDING, connections=dict.fromkeys(Store, 4)
        )
        record = await site.run(PROBE)
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.CAPACITY)


@pytest.mark.parametrize(
    ("sql", "names", "asks", "tables"),
    [
        ("SELECT * FROM t WHERE id = :thread_id", False, False, {"t"}),
        ("SELECT * FROM a.t AS x WHERE x.id = :thread_id AND x.owner = :user_id::uuid", True, True, {"a.t"}),
        ('DELETE FROM "T" USING u WHERE u.id = :user_id', True, True, {'"T"', "u"}),
        ("INSERT INTO t (id, owner) VALUES (:thread_id, :user_id)", True, False, {"t"}),
        (
            "INSERT INTO m (id, owner) SELECT :message_id, :user_id FROM t WHERE id = :thread_id",
            True,
            False,
            {"m", "t"},
        ),
        ("INSERT INTO m (id) SELECT :message_id FROM t WHERE t.owner = :user_id", True, True, {"m", "t"}),
        ("UPDATE t SET changed_by = :user_id WHERE id = :thread_id", True, False, {"t"}),
        ("WITH me AS (SELECT id FROM u WHERE id = :user_id) SELECT * FROM t JOIN me ON true", True, True, {"t", "u"}),
        ("SELECT set_config('request.jwt.claims', :claims, true)", True, True, set()),
        ("SET LOCAL ROLE authenticated", False, False, set()),
    ],
)
def test_whose_rows_a_statement_asks_for(sql: str, names: bool, asks: bool, tables: set[str]) -> None:  # noqa: FBT001
    """Whether it says who asks, whether that decides what it touches, and the tables that it names."""
    assert (names_who(sql), asks_whose(sql), tables_of(sql)) == (names, asks, tables)
