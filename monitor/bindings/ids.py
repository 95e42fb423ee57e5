"""How an application identifies threads, messages and users, so that what is synthetic is known by its id."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from monitor.bindings.part import Part


class IdStyle(Part):
    """One kind of identifier."""

    kind: Literal["uuid", "uuid7", "text", "number"] = Field(
        default="uuid", description="uuid; uuid7, whose order is that of time; text; or number, such as a bigint."
    )
    prefix: str = Field(default="", max_length=64, description="What stands before each id that is text: thread_.")
    made_by: Literal["holdfast", "server"] = Field(
        default="holdfast", description="`server`: the statement or the request that creates returns it."
    )

    @model_validator(mode="after")
    def _fits(self) -> IdStyle:
        if self.prefix and self.kind != "text":
            raise ValueError(f"a prefix is for text; the kind is {self.kind}")
        return self


class Ids(Part):
    """How threads, messages and users are identified.

    A synthetic user is one of ten of each daemon. As text its id is `{prefix}holdfast-{daemon}-{number}`, as uuid one
    that follows from that, as number one below -1,000,000,000: no customer's. Accounts of an API bring their own ids.
    """

    thread: IdStyle = Field(default_factory=IdStyle, description="Of threads.")
    message: IdStyle = Field(default_factory=IdStyle, description="Of messages.")
    user: IdStyle = Field(default_factory=lambda: IdStyle(kind="text"), description="Of users; Holdfast makes them.")
