"""The OpenAPI document, made of the operations that the routes are made of and the shapes that `wire` makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal

from pydantic import TypeAdapter

from monitor.web import shapes
from monitor.web.operations import PREFIX, Operation, Param

_REF = "#/components/schemas/{model}"
_MEANT = {
    400: "A parameter or the body is not understood.",
    401: "The bearer token is missing, or is not the configured one.",
    403: "No token is configured, so nobody may change anything.",
    404: "Nothing of this name is known.",
    409: "It is over already.",
    413: "The body is too long.",
    503: "The state database does not answer, the daemon is stopping, or too many listen.",
}
_WRONG: shapes.Error = {
    "error": {"message": "there is no environment named 'produktion'", "next": "did you mean production?"}
}


def document(operations: Iterable[Operation], *, version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    operations = tuple(operations)
    models: dict[str, type] = {}
    for operation in operations:
        for model in filter(None, (operation.gives, *operation.events.values())):
            models[model.__name__] = model
    models["Error"] = shapes.Error
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(f"{PREFIX}{operation.path}", {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": version,
            "description": "Does the data that we acknowledged still come back: whole, in order, on time, and only to "
            "its owner? Moments are ISO 8601 in UTC; an `unknown` is neither ok nor a violation.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(models),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "http.token of the configuration."}
            },
        },
    }


def _schemas(models: Mapping[str, type]) -> dict[str, Any]:
    """Every model, and all that they are made of, by name."""
    adapters: list[tuple[str, Literal["serialization"], TypeAdapter[Any]]] = [
        (name, "serialization", TypeAdapter(model)) for name, model in models.items()
    ]
    made, definitions = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    schemas: dict[str, Any] = dict(definitions.get("$defs", {}))
    for (name, _), schema in made.items():
        if schema.get("$ref") != _REF.format(model=name):
            schemas[str(name)] = schema
    return schemas


def _operation(operation: Operation) -> dict[str, Any]:
    summary, _, more = (operation.answer.__doc__ or "").partition("\n\n")
    said: dict[str, Any] = {
        "operationId": operation.name,
        "summary": summary.strip().rstrip("."),
        "responses": {"200": _answer(operation), **{str(status): _fault(status) for status in _faults(operation)}},
    }
    if more := " ".join(more.split()):
        said["description"] = more
    if parameters := [
        *(_param(each, where="path") for each in operation.named),
        *(_param(each, where="query") for each in operation.params),
    ]:
        said["parameters"] = parameters
    if operation.body is not None:
        said["requestBody"] = {"content": {"application/json": {"schema": operation.body}}}
    if operation.post:
        said["security"] = [{"token": []}]
    return said


def _faults(operation: Operation) -> list[int]:
    return sorted({400, *operation.faults, *((401, 403, 413) if operation.post else ())})


def _answer(operation: Operation) -> dict[str, Any]:
    if operation.events:
        told = {name: {"$ref": _REF.format(model=model.__name__)} for name, model in operation.events.items()}
        return {
            "description": "Events, the data of each as JSON; `x-events` has their shapes by name.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "x-events": told}},
        }
    if operation.gives is None:
        return {"description": "An object.", "content": {"application/json": {"schema": {"type": "object"}}}}
    schema = {"$ref": _REF.format(model=operation.gives.__name__)}
    about = " ".join((operation.gives.__doc__ or "").split())
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _fault(status: int) -> dict[str, Any]:
    content = {"schema": {"$ref": _REF.format(model="Error")}, "example": _WRONG}
    return {"description": _MEANT.get(status, HTTPStatus(status).phrase), "content": {"application/json": content}}


def _param(param: Param, *, where: str) -> dict[str, Any]:
    said = {
        "name": param.name,
        "in": where,
        "description": param.about,
        "required": where == "path",
        "schema": dict(param.schema),
    }
    return said if param.example is None else {**said, "example": param.example}
