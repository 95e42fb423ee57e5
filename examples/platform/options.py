"""What the platform can be told at its start."""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings of one process. Secrets do not show in its repr."""

    dsn: str
    redis_url: str
    schema: str
    host: str
    port: int
    secret: str
    public_key: Path | None
    accounts: Mapping[str, str]
    token_life: int
    admin: str | None
    rate: float | None
    delay: float

    def __repr__(self) -> str:
        return f"Options({self.host}:{self.port}, schema {self.schema})"


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line; what is secret may come from the environment, where `ps` does not show it."""
    parser = argparse.ArgumentParser(prog="python -m examples.platform", description=__doc__)
    environment = os.environ.get
    parser.add_argument("--dsn", default=environment("PLATFORM_DSN"), help="PostgreSQL, or PLATFORM_DSN")
    parser.add_argument("--redis", default=environment("PLATFORM_REDIS"), help="Redis URL, or PLATFORM_REDIS")
    parser.add_argument("--schema", default="public", help="PostgreSQL schema of the tables; made where it is missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    parser.add_argument("--secret", default=environment("PLATFORM_SECRET"), help="signs HS256, or PLATFORM_SECRET")
    parser.add_argument("--public-key", type=Path, metavar="FILE", help="PEM: accept RS256 tokens of its owner too")
    parser.add_argument("--account", action="append", default=[], metavar="USER:PASSWORD", help="may be repeated")
    parser.add_argument("--token-life", type=int, default=3600, metavar="SECONDS")
    parser.add_argument(
        "--admin", default=environment("PLATFORM_ADMIN"), help="token for /_switches, or PLATFORM_ADMIN"
    )
    parser.add_argument("--rate", type=float, metavar="N", help="requests a second that one user may make")
    parser.add_argument("--delay", type=float, default=3.0, metavar="SECONDS", help="of each answer while `slow` is on")
    given = parser.parse_args(arguments)
    if not given.dsn or not given.redis:
        parser.error("--dsn and --redis are needed")
    if not all(":" in account for account in given.account):
        parser.error("--account: expected USER:PASSWORD")
    return Options(
        dsn=given.dsn,
        redis_url=given.redis,
        schema=given.schema,
        host=given.host,
        port=given.port,
        secret=given.secret or secrets.token_urlsafe(32),  # nobody else may mint tokens then
        public_key=given.public_key,
        accounts=dict(account.split(":", maxsplit=1) for account in given.account),
        token_life=given.token_life,
        admin=given.admin,
        rate=given.rate,
        delay=given.delay,
    )
