"""What a probe may ask of an environment. The stores answer; nothing here does."""

from monitor.core.levels import Isolation
from monitor.ports.copies import Copies
from monitor.ports.crowd import Crowd
from monitor.ports.environment import Environment
from monitor.ports.evictions import EvictionConnection, Evictions
from monitor.ports.gauges import Gauge, Gauges
from monitor.ports.ledger import Durables, Ledger, Reader, Scribe, Writer
from monitor.ports.notices import Notices
from monitor.ports.profiles import Profiles
from monitor.ports.registers import ConflictError, RegisterConnection, Registers
from monitor.ports.rollups import Rollups
from monitor.ports.sessions import Declared, Discipline, SessionConnection, Sessions
from monitor.ports.state import Acknowledgement, State, StateError, StateTakenError
from monitor.ports.stores import (
    KEEPERS,
    Connection,
    MisroutedError,
    MissingError,
    Outcome,
    Place,
    Store,
    StoreError,
    Tally,
    Way,
)
from monitor.ports.surroundings import Ability, Layers, Served, Surroundings
from monitor.ports.tenants import TenantConnection, TenantKeys, Tenants
from monitor.ports.threads import Count, ThreadConnection, Threads
from monitor.ports.time import Clock, SystemClock
from monitor.ports.words import Words, WordsConnection

__all__ = [
    "KEEPERS",
    "Ability",
    "Acknowledgement",
    "Clock",
    "ConflictError",
    "Connection",
    "Copies",
    "Count",
    "Crowd",
    "Declared",
    "Discipline",
    "Durables",
    "Environment",
    "EvictionConnection",
    "Evictions",
    "Gauge",
    "Gauges",
    "Isolation",
    "Layers",
    "Ledger",
    "MisroutedError",
    "MissingError",
    "Notices",
    "Outcome",
    "Place",
    "Profiles",
    "Reader",
    "RegisterConnection",
    "Registers",
    "Rollups",
    "Scribe",
    "Served",
    "SessionConnection",
    "Sessions",
    "State",
    "StateError",
    "StateTakenError",
    "Store",
    "StoreError",
    "Surroundings",
    "SystemClock",
    "Tally",
    "TenantConnection",
    "TenantKeys",
    "Tenants",
    "ThreadConnection",
    "Threads",
    "Way",
    "Words",
    "WordsConnection",
    "Writer",
]
