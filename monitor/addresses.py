"""Addresses that an operator gives: where to listen, where the state is, and how to connect to what is watched."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import SecretStr

from monitor.core.secrets import MASK
from monitor.core.sentinel import SCHEMES, is_sentinels, sentinels_of
from monitor.options import POSTGRES, REDIS, SENTINELS, Options

_HIGHEST_PORT = 65535
_NO_CLUSTER = (
    "Redis Cluster is not supported, since a run's keys would lie in many slots; leave `redis` out, or name a server"
    " that is no cluster to its clients, as redis:// or rediss:// (see config/examples/redis-cluster.yaml)"
)


class AddressError(ValueError):
    """An address that cannot be used. Nothing of the address is in the message: its password could be anywhere."""


def address(value: str) -> str:
    """HOST:PORT, unchanged. Raises AddressError."""
    host, _, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    fits = port.isascii() and port.isdigit() and int(port[:6]) <= _HIGHEST_PORT
    if not fits or not bare or (":" in bare and bare == host) or re.search(r"[\s/@]", bare):
        raise AddressError("expected HOST:PORT such as 127.0.0.1:9464 or [::1]:9464, with a port of 0 to 65535")
    return value


def state_url(value: SecretStr) -> SecretStr:
    """The URL of a state database, unchanged. Raises AddressError."""
    text = value.get_secret_value()
    if text.startswith(("postgresql://", "postgres://")):
        return postgres_url(value)
    if not re.fullmatch(r"sqlite:///[^?#\0]+", text):
        raise AddressError(
            "expected sqlite:///RELATIVE/PATH, sqlite:////ABSOLUTE/PATH or postgresql://holdfast@db.example/holdfast"
        )
    return value


def _url(value: SecretStr, *, schemes: tuple[str, ...], example: str) -> SplitResult:
    """The parts of a DSN or URL. Raises AddressError."""
    text = value.get_secret_value()
    forms = " or ".join(f"{scheme}://" for scheme in schemes)
    if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise AddressError(f"expected a URL that begins with {forms}, such as {example}")
    encode = "percent-encode special characters in user and password (@ is %40, / is %2F, # is %23)"
    try:
        parts = urlsplit(text)
    except ValueError:
        raise AddressError(f"is not a URL such as {example}; {encode}") from None
    if "@" in parts.path + parts.query or parts.fragment or re.search(r"[\s\0]", text):
        raise AddressError(f"has an @, a # or a space where a URL cannot; {encode}")
    for host in parts.netloc.rpartition("@")[2].split(","):
        match = re.fullmatch(r"(?:\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(?::(\d{1,5}))?", host)
        if not match or int(match[1] or 0) > _HIGHEST_PORT:
            raise AddressError(f"the port is not a number of 1 to 65535; {encode}")
    return parts


def postgres_url(value: SecretStr) -> SecretStr:
    """A DSN, unchanged. Raises AddressError."""
    example = "postgresql://holdfast@db.example/app"
    parts = _url(value, schemes=("postgresql", "postgres"), example=example)
    if not parts.hostname and not parse_qs(parts.query).get("host"):
        raise AddressError(f"names no host; write it like {example}, or ?host=/PATH for a Unix socket")
    _check_options(parts, POSTGRES)
    return value


def primary_url(value: SecretStr) -> SecretStr:
    """The URL of a Redis primary, or of the Sentinels that know it, unchanged. Raises AddressError."""
    if not is_sentinels(value.get_secret_value()):
        return redis_url(value)
    example = "redis+sentinel://holdfast@one.example:26379,two.example:26379/mymaster/0"
    parts = _url(value, schemes=tuple(SCHEMES), example=example)
    try:
        sentinels_of(value.get_secret_value())
    except ValueError as error:
        raise AddressError(f"{error}; write it like {example}") from None
    _check_options(parts, SENTINELS)
    _check_tls(parts)
    return value


def redis_url(value: SecretStr) -> SecretStr:
    """The URL of one Redis server, unchanged. Raises AddressError."""
    example = "redis://holdfast@cache.example:6379/0"
    text = value.get_secret_value()
    if re.match(r"rediss?[+-]cluster://", text):
        raise AddressError(_NO_CLUSTER)
    if is_sentinels(text):
        raise AddressError(f"Sentinels are asked for the primary only; name the server itself, like {example}")
    if text.startswith("redis-sentinel://"):
        raise AddressError("write it like redis+sentinel://holdfast@one.example:26379,two.example:26379/mymaster/0")
    parts = _url(value, schemes=("redis", "rediss", "unix"), example=example)
    if parts.scheme == "unix":
        if len(parts.path) <= 1:
            raise AddressError("names no socket; write it like unix:///run/redis/redis.sock")
    elif not parts.hostname:
        raise AddressError(f"names no host; write it like {example}")
    elif not re.fullmatch(r"/?\d*", parts.path):
        raise AddressError(f"the database after the host is not a number; write it like {example}")
    _check_options(parts, REDIS)
    _check_tls(parts)
    return value


def _check_tls(parts: SplitResult) -> None:
    if not parts.scheme.startswith("rediss") and re.search(r"(?:^|&)ssl_", parts.query):
        secure = "rediss+sentinel" if "+" in parts.scheme else "rediss"
        raise AddressError(f"options that begin with ssl_ need a URL that begins with {secure}://")


def api_url(value: SecretStr) -> SecretStr:
    """The address of an HTTP API, unchanged. Raises AddressError."""
    example = "https://app.example"
    parts = _url(value, schemes=("https", "http"), example=example)
    if not parts.hostname:
        raise AddressError(f"names no host; write it like {example}")
    if parts.query or parts.username or parts.password:
        raise AddressError(f"has a user or a query; write it like {example}, and put log-ins under `auth`")
    return value


def page_url(value: str) -> str:
    """Where people open the status page, without a slash at its end. Raises AddressError."""
    return api_url(SecretStr(value)).get_secret_value().rstrip("/")


def _check_options(parts: SplitResult, options: Options) -> None:
    if problem := options.problem(parts.query):
        raise AddressError(problem)


def shown(url: SecretStr) -> str:
    """A DSN or URL that may be shown: everything but its passwords, of whatever length."""
    text = re.sub(r"(://[^/?#:@]*):[^/?#]*@", rf"\1:{MASK}@", url.get_secret_value())
    return re.sub(r"([?&](?:password|sslpassword|sentinel_password)=)[^&]*", rf"\1{MASK}", text)


def server_of(url: str) -> str:
    """Which server a DSN or URL leads to: host and port, or the socket, however it is spelled. No secret is in it."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].lower()
    if is_sentinels(url):  # they may watch several primaries, each by its name
        return hosts + parts.path.rstrip("/")
    if "," in hosts:  # several, of which a driver takes the first that answers
        return hosts
    default = {"redis": 6379, "rediss": 6379}.get(parts.scheme, 5432)
    named = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host = parts.hostname or named.get("host", "")
    return parts.path if parts.scheme == "unix" else f"{host}:{parts.port or named.get('port', default)}"


def share_a_server(one: str, other: str) -> bool:
    """Whether two DSNs may lead to one PostgreSQL: any host and port of the one is one of the other."""
    first, second = ({_with_port(host) for host in server_of(url).split(",")} for url in (one, other))
    return not first.isdisjoint(second)


def _with_port(host: str) -> str:
    return host if re.search(r":\d+$", host) else f"{host}:5432"
