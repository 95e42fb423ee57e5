"""What a probe sends where it goes through a binding, in place of what Holdfast's own operations would send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from monitor.bindings import ApiBinding, Binding, PostgresBinding, Request
from monitor.bindings.model import Layer, Way
from monitor.ports import Store
from monitor.stores.bound.api_tenants import READS
from monitor.stores.bound.shown_keys import shown_copies, shown_session, shown_tenants
from monitor.stores.bound.sql_policies import KEPT, WEAKNESSES

_BEGIN = "BEGIN; SET LOCAL statement_timeout = …; SET LOCAL lock_timeout = …"
Sent: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asks:
    """Which keys of a binding stand for one of our operations, by SQL and over an API."""

    sql: tuple[str, ...]
    api: tuple[str, ...] | None = None
    reads: bool = False
    end: str = "COMMIT"

    def keys(self, layer: Layer) -> tuple[str, ...]:
        """Those of one layer."""
        return self.sql if layer == "postgres" or self.api is None else self.api


_LOOKS = ("load", "messages", "page", "newest", "count", "list")
_TAMPERS = ("append", "edit", "rename", "delete_message", "delete")
_BATCH = "append_batch"
_THREADS: Mapping[str, _Asks] = {
    "create_thread": _Asks(sql=("create",)),
    "append_message": _Asks(sql=("append",)),
    "append_rolled_back": _Asks(sql=("append",), api=(), end="ROLLBACK"),
    _BATCH: _Asks(sql=("append",), api=("append_many",)),
    "watch_batch": _Asks(sql=("messages",), api=(), reads=True),
    "edit_message": _Asks(sql=("edit",)),
    "delete_message": _Asks(sql=("delete_message",)),
    "delete_thread": _Asks(sql=("delete",)),
    "load_thread": _Asks(sql=("load", "messages"), reads=True),
    "page_thread": _Asks(sql=("page",), api=("messages",), reads=True),
    "newest_page": _Asks(sql=("newest",), reads=True),
    "count_threads": _Asks(sql=("load", "count"), api=("load", "messages"), reads=True),
}
_APPENDS = _THREADS["append_message"]
_PROFILES: Mapping[str, _Asks] = {
    "create_document": _Asks(sql=("write",)),
    "change_document": _Asks(sql=("write",)),
    "load_document": _Asks(sql=("read",), reads=True),
    "look_at_row": _Asks(sql=("read",), reads=True),
    "look_at_replica": _Asks(sql=("read",), api=(), reads=True),
    "position": _Asks(sql=()),
    "delete_document": _Asks(sql=("delete",)),
}
_TENANTS: Mapping[str, _Asks] = {
    "settle_user": _Asks(sql=("create", "append")),
    "look_as_user": _Asks(sql=_LOOKS, api=READS, reads=True),
    "look_as_nobody": _Asks(sql=_LOOKS, api=READS, reads=True),
    "look_through_pooler_as_user": _Asks(sql=_LOOKS, api=(), reads=True),
    "look_through_pooler_as_nobody": _Asks(sql=_LOOKS, api=(), reads=True),
    "tamper_as_user": _Asks(sql=_TAMPERS, end="ROLLBACK"),
    "tamper_as_nobody": _Asks(sql=_TAMPERS, end="ROLLBACK"),
    "clear_user": _Asks(sql=("delete",)),
}


def sent_instead(binding: Binding, probe: str, operation: str) -> Mapping[Store, Sent] | None:
    """What is sent to which store in place of an operation of ours; None where that is sent as it is.

    Empty where the application has nothing of the kind, so that it is left out.
    """
    if probe not in binding.served():
        return None
    if probe in {"thread", "history", "load"} and operation in _THREADS and (way := binding.threads_way):
        asks = _APPENDS if sent_singly(binding, probe, operation) else _THREADS[operation]
        return _of_layers(binding, "threads", asks, [_layer(way, asks)])
    if probe in {"profile", "sync"} and operation in _PROFILES and (way := binding.profile_way):
        return _of_layers(binding, "profile", _PROFILES[operation], [_layer(way, _PROFILES[operation])])
    if probe == "isolation" and operation in _TENANTS:
        return _of_layers(binding, "threads", _TENANTS[operation], ["postgres", "api"])
    if probe == "isolation" and operation == "audit":
        tables = binding.postgres is not None and binding.postgres.threads is not None
        return {Store.POSTGRES: tuple(map(_on_one_line, (KEPT, WEAKNESSES)))} if tables else {}
    return None


def sent_singly(binding: Binding, probe: str, operation: str) -> bool:
    """Whether what we append at once is appended one by one, because the application's API has no request for several.

    `thread` asks for nothing of the kind then: there it is about whether all come together.
    """
    if probe != "history" or operation != _BATCH or binding.api is None or binding.api.threads is None:
        return False
    way = binding.threads_way
    return way is not None and way.write == "api" and binding.api.threads.append_many is None


def _proved(binding: Binding, operation: str) -> _Asks:
    """What stands for an operation, with what proves the ids that the server made."""
    asks = _THREADS[operation]
    if operation == "create_thread" and binding.ids.thread.made_by == "server":
        return replace(asks, sql=(*asks.sql, "load"))
    if operation in {"edit_message", "delete_message"} and binding.ids.message.made_by == "server":
        return replace(asks, sql=("messages", *asks.sql), api=asks.sql)
    return asks


def _layer(way: Way, asks: _Asks) -> Layer:
    return way.read if asks.reads else way.write


def _of_layers(binding: Binding, section: str, asks: _Asks, layers: list[Layer]) -> Mapping[Store, Sent]:
    found: dict[Store, Sent] = {}
    for layer in layers:
        part = binding.postgres if layer == "postgres" else binding.api
        lines = tuple(_lines(part, section, asks, layer)) if part is not None else ()
        if lines:
            found[Store(layer)] = lines
    return found


def _lines(part: PostgresBinding | ApiBinding, section: str, asks: _Asks, layer: Layer) -> Iterator[str]:
    whole = getattr(part, section)
    if whole is None:
        return
    if isinstance(part, ApiBinding):
        requests = [getattr(whole, key) for key in asks.keys(layer)]
        yield from (_request(request) for request in requests if request is not None)
        return
    begin = [_on_one_line(statement.sql) for statement in part.statements("begin")]
    parents = part.statements("parents") if "create" in asks.sql else ()
    statements = [*parents, *(each for key in asks.keys(layer) for each in whole.statements(key))]
    if statements:
        yield _BEGIN
        yield from begin
        yield from (_on_one_line(each.sql) for each in statements)
        yield asks.end


def _on_one_line(sql: str) -> str:
    return " ".join(sql.split())


def _request(request: Request) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    body = "" if request.body is None else " " + json.dumps(request.body, ensure_ascii=False)
    return f"{request.method} {request.path}{'?' if query else ''}{query}{body}"


def sent_keys(binding: Binding, probe: str, operation: str, own: Mapping[str, Sent]) -> Sent | None:
    """What is sent to Redis for an operation of ours, under the application's keys; empty where there are none."""
    if probe not in binding.served():
        return own[operation]
    redis = binding.redis
    if probe == "session" and redis and redis.session:
        return shown_session(redis.session, operation, own)
    if probe == "isolation" and redis and redis.session:
        return shown_tenants(redis.session, operation, own)
    if probe in {"profile", "sync"}:
        return shown_copies(redis.profile, operation, own) if redis and redis.profile else ()
    return own[operation]
