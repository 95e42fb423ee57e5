"""What all requests share: the stores, the tokens, the switches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from examples.platform.conversations import Conversations
from examples.platform.database import Database, open_database
from examples.platform.options import Options
from examples.platform.rates import Rates
from examples.platform.replies import MixedReplies
from examples.platform.switches import Switches
from examples.platform.tokens import Tokens

_SECONDS = 2.0  # any answer of Redis


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process of the platform. `ending` is set when it stops, so that endless answers end too."""

    options: Options
    database: Database
    redis: Redis
    tokens: Tokens
    rates: Rates
    switches: Switches
    conversations: Conversations
    mixed: MixedReplies = field(default_factory=MixedReplies)
    ending: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def open_service(options: Options) -> AsyncIterator[Service]:
    """Connect to both stores; leaving the block lets go of them."""
    switches = Switches()
    tokens = Tokens(secret=options.secret, life=options.token_life, public_key=options.public_key)
    redis = Redis.from_url(
        options.redis_url,
        decode_responses=True,
        socket_timeout=_SECONDS,
        socket_connect_timeout=_SECONDS,
        retry=Retry(NoBackoff(), 0),  # a command that is sent twice may be done twice
    )
    async with redis, open_database(options.dsn, schema=options.schema) as database:
        await redis.ping()
        yield Service(
            options=options,
            database=database,
            redis=redis,
            tokens=tokens,
            rates=Rates(options.rate),
            switches=switches,
            conversations=Conversations(database, switches),
        )
