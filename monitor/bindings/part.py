"""What every part of a binding is: a mapping without unknown keys, which cannot be changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a binding."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
