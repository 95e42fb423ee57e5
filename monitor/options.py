"""The options after the `?` of a DSN or URL: which of them the drivers take, and what somebody may have meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from urllib.parse import parse_qsl

from monitor.core.sentinel import OWN

_ALIKE = 0.75  # sslmod and ssl_mode are a slip of sslmode; work_mem is none of anything
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_LIBPQ = "is libpq's, and Holdfast's driver does not take it; remove it"
_OWN = "is set by Holdfast itself; remove it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a driver takes: each option with the values that it may have, none where any will do.

    `refused` says of options that somebody may expect why they are none. Where `others` is true, what is not known
    here is a parameter of the server, and only the server knows whether there is one.
    """

    taken: Mapping[str, Sequence[str]]
    refused: Mapping[str, str]
    others: bool

    def problem(self, query: str) -> str:
        """What is wrong with a query and what to do, or nothing. No value is in it, for any may be a secret."""
        try:
            given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError:
            return "what follows the ? is not of the form name=value&name=value"
        found = (self._problem(name, value, quiet=self._unsure(query)) for name, value in given)
        return next(filter(None, found), "")

    def _problem(self, name: str, value: str, *, quiet: bool) -> str:
        if name in self.refused:
            return f"the option {name} {self.refused[name]}"
        if name in self.taken:
            values = self.taken[name]
            near = get_close_matches(value[:64], values, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return "" if not values or value in values else f"{name}: expected one of {', '.join(values)}{hint}"
        unknown = "there is an unknown option" if quiet or not _NAME.fullmatch(name) else f"unknown option {name}"
        if near := get_close_matches(name[:64].lower(), self.taken, n=1, cutoff=_ALIKE):
            return f"{unknown}; did you mean {near[0]}?"
        return "" if self.others else f"{unknown}; known: {', '.join(self.taken)}"

    def _unsure(self, query: str) -> bool:
        """Whether what looks like an option may be the rest of a password with an & in it."""
        return "password=" in query


POSTGRES = Options(
    taken={
        **dict.fromkeys(("host", "port", "user", "password", "dbname", "database", "passfile", "service"), ()),
        "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        **dict.fromkeys(("sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"), ()),
        **dict.fromkeys(("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"), ()),
        "target_session_attrs": ("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    },
    refused={
        "ssl": "is none of PostgreSQL's; write sslmode=require or sslmode=verify-full",
        **dict.fromkeys(("connect_timeout", "hostaddr", "channel_binding", "require_auth", "requirepeer"), _LIBPQ),
        **dict.fromkeys(("gssencmode", "sslcompression", "sslsni", "load_balance_hosts", "keepalives"), _LIBPQ),
        **dict.fromkeys(("keepalives_idle", "keepalives_interval", "keepalives_count"), _LIBPQ),
        "fallback_application_name": _LIBPQ,
    },
    others=True,
)
"""Of asyncpg, whose other options become parameters of the session, such as search_path."""

REDIS = Options(
    taken={
        **dict.fromkeys(("db", "username", "password", "socket_keepalive"), ()),
        **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"), ()),
        "ssl_cert_reqs": ("required", "optional", "none"),
        **dict.fromkeys(("ssl_check_hostname", "ssl_ciphers", "ssl_min_version"), ()),
    },
    refused={
        "max_connections": "has no effect here; write it beside `url`",
        "ssl_password": "is not supported by this version; use a key without a password",
        **dict.fromkeys(("socket_timeout", "socket_connect_timeout", "timeout", "protocol", "client_name"), _OWN),
        **dict.fromkeys(("retry_on_timeout", "retry_on_error", "retry", "health_check_interval"), _OWN),
    },
    others=False,
)
"""Of redis-py."""

SENTINELS = replace(REDIS, taken={**REDIS.taken, **dict.fromkeys(OWN, ())})
"""Of the URL of Sentinels: redis-py's, for them and for the servers, and who logs in at the Sentinels."""
