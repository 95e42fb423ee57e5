"""What the requests of a binding may say, and what they become."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from monitor.bindings import ApiBinding, ApiThreads, Binding, Listing, Request
from monitor.bindings.templates import filled, filled_path

VALUES = {"id": "a/b ü", "number": 7, "list": [1, None], "object": {"a": "b"}, "none": None, "yes": True}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{number}", 7),
        ("{list}", [1, None]),
        ("{object}", {"a": "b"}),
        ("{none}", None),
        ("{yes}", True),
        ("{number} {yes}{none}", "7 true"),
        ("as JSON: {object}", 'as JSON: {"a": "b"}'),
        ("{{{number}}}", "{7}"),
        ("{{number}}", "{number}"),
        ({"deep": [{"id": "{id}"}, 5]}, {"deep": [{"id": "a/b ü"}, 5]}),
        (None, None),
    ],
)
def test_a_placeholder_alone_keeps_its_type(template: Any, expected: object) -> None:
    """A text that is one placeholder becomes the value; elsewhere a value becomes text, and braces stay."""
    assert filled(template, VALUES) == expected


def test_a_path_is_encoded() -> None:
    """A value is one segment of a path, whatever it holds."""
    assert filled_path("/x/{id}/{number}", VALUES) == "/x/a%2Fb%20%C3%BC/7"


@pytest.mark.parametrize("value", [None, "", ".", ".."])
def test_a_path_leads_nowhere_else(value: str | None) -> None:
    """What would lead to the collection, or to its parent, is refused."""
    with pytest.raises(ValueError, match=r"\{id\} is .* which cannot be a part of a path"):
        filled_path("/threads/{id}", {"id": value})


def threads(**changes: Any) -> dict[str, Any]:
    """A binding of threads, with some requests changed."""
    thread = {"path": "/threads/{thread_id}"}
    message = {"message_id": "id", "role": "role", "content": "content", "metadata": "metadata"}
    requests: dict[str, Any] = {
        "create": {"method": "POST", "path": "/threads", "returns": {"thread_id": "id"}},
        "append": {"method": "POST", **thread, "body": {"content": "{content}"}, "returns": {"message_id": "id"}},
        "load": thread,
        "messages": {**thread, "returns": message},
        "delete": {"method": "DELETE", **thread},
    }
    return {name: {**requests.get(name, {}), **changes.get(name, {})} for name in {**requests, **changes}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"append": {"body": {"a": ["{contnt}"]}}},
            "append.body names {contnt}, which has no value there; did you mean {content}?",
        ),
        ({"create": {"query": {"x": "{message_id}"}}}, "create.query names {message_id}, which has no value there"),
        ({"load": {"path": "/threads/{thread_id}/{after}"}}, "load.path names {after}"),
        ({"load": {"headers": {"X-A": "{thread_id.x}"}}}, "load.headers has braces around what is no name"),
        ({"load": {"headers": {"X-A": "{thread_id!r}"}}}, "load.headers has braces around what is no name"),
        ({"append": {"body": '{"content": 1}'}}, "append.body has braces around what is no name"),
        ({"append": {"body": "{content"}}, "append.body"),
        (
            {"delete": {"path": "/threads"}},
            "delete does not name {thread_id}, so that it could touch what is not synthetic",
        ),
        ({"edit": {"path": "/threads/{thread_id}"}}, "edit does not name {message_id}"),
        ({"load": {"path": "threads/{thread_id}"}}, "is no path; begin it with /"),
        ({"load": {"path": "/{thread_id}?a=b"}}, "put what follows a ? under query"),
        ({"messages": {"items": "data["}}, "is no JMESPath at character"),
        ({"create": {"returns": {"thread_id": "id ||"}}}, "is no JMESPath"),
        ({"load": {"headers": {"X A": "b"}}}, "String should match pattern"),
    ],
)
def test_a_mistake_is_named_at_load(changes: dict[str, Any], words: str) -> None:
    """A request that cannot be filled in, sent or taken apart is refused by its name, before it is ever sent."""
    with pytest.raises(ValidationError) as refused:
        ApiThreads.model_validate(threads(**changes))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "given", "words"),
    [
        ({"create": {"returns": {}}}, {}, "create does not return thread_id, which the server makes"),
        ({"create": {"body": "{name}"}}, {}, "load does not return name, which create sends"),
        ({"create": {"body": "{metadata_json}"}}, {}, "load does not return metadata, which create sends"),
        (
            {"messages": {"returns": {"content": "c", "metadata": "m"}}},
            {},
            "messages does not return role of each message",
        ),
        ({}, {"messages": {"types": ["a"]}}, "messages does not return type of each message"),
        (
            {"append": {"returns": {}}},
            {"messages": {"metadata": "no"}},
            "append does not return message_id, which the server makes (ids.message.made_by)",
        ),
    ],
)
def test_what_is_written_can_be_known_again(changes: dict[str, Any], given: dict[str, Any], words: str) -> None:
    """A binding whose answers tell too little is refused by what they have to tell."""
    ids = {name: {"kind": "text", "made_by": "server"} for name in ("thread", "message")}
    with pytest.raises(ValidationError) as refused:
        Binding.model_validate({"ids": ids, "api": {"threads": threads(**changes)}, **given})
    assert words in str(refused.value)


def test_a_binding_can_do_what_it_names() -> None:
    """What an API has no request for is an ability that is lacking."""
    rich = threads(
        edit={"path": "/{message_id}"}, newest={**threads()["messages"]}, append_many={"path": "/{thread_id}"}
    )
    poor = threads(messages={"newest_first": True})
    found = [
        Binding.model_validate({"api": {"threads": given, "idempotency": key}}).served()["thread"].abilities
        for given, key in ((rich, "Idempotency-Key"), (poor, None))
    ]
    assert found == [frozenset({"edit", "newest", "batch", "replay", "page"}), frozenset()]


def test_names_of_headers_are_names() -> None:
    """What is no name of a header is refused."""
    with pytest.raises(ValidationError):
        ApiBinding.model_validate({"idempotency": "Idempotency Key"})
    assert Request(path="/x", headers={"X-Y": "z"}).shown == "GET /x"
    assert Listing(path="/x").limit == 50
