"""Probes that only these tests have, so that no change of a real one touches them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field

from monitor.core.verdict import Finding
from monitor.ports import Store
from monitor.probe import Duration, Probe, Run, Use


class _Idle(Probe[object]):
    """Nothing."""

    kinds: ClassVar = frozenset()
    steps: ClassVar = ("connect", "reload")

    def plan(self) -> tuple[Use, ...]:
        """Nothing is sent."""
        return ()

    async def observe(self, run: Run) -> object:
        """Nothing is seen."""
        raise NotImplementedError

    def judge(self, seen: object) -> Finding:
        """Nothing is judged."""
        raise NotImplementedError


class Chat(_Idle):
    """A chat comes back."""

    name: ClassVar = "chat"
    needs: ClassVar = {Store.POSTGRES: 2}
    messages: int = Field(default=4, ge=2, description="Messages of one run.")


class Login(_Idle):
    """A login comes back."""

    name: ClassVar = "login"
    needs: ClassVar = {Store.REDIS: 1}
    every: Duration = Field(default=timedelta(seconds=15), description="One run each so often.")
    mode: Literal["watch", "lua"] = Field(default="watch", description="How updates are made.")


class Both(_Idle):
    """Two stores agree."""

    name: ClassVar = "both"
    needs: ClassVar = {Store.POSTGRES: 5, Store.REDIS: 1}
    enabled: bool = Field(default=False, description="Whether the probe runs.")


PROBES: Mapping[str, type[Probe[object]]] = {"chat": Chat, "login": Login, "both": Both}
ENVIRON = {"PASSWORD": "hunter2secret", "EMPTY": "", "MOST": "5", "URL": "postgresql://u:hunter2secret@h:x/db"}
