"""How an application stores what the probes write, as a YAML file says it: values and their checks, no I/O."""

from monitor.bindings.api import ApiBinding, ApiProfile, ApiThreads, Events, Listing, Request
from monitor.bindings.auth import Account, Auth
from monitor.bindings.ids import Ids, IdStyle
from monitor.bindings.model import Binding
from monitor.bindings.postgres import PostgresBinding, SqlProfile, SqlThreads
from monitor.bindings.redis import CacheKeys, RedisBinding, SessionKeys

__all__ = [
    "Account",
    "ApiBinding",
    "ApiProfile",
    "ApiThreads",
    "Auth",
    "Binding",
    "CacheKeys",
    "Events",
    "IdStyle",
    "Ids",
    "Listing",
    "PostgresBinding",
    "RedisBinding",
    "Request",
    "SessionKeys",
    "SqlProfile",
    "SqlThreads",
]
