"""The ids of an application's things, and which of ours each is."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID, uuid5

from uuid_utils import uuid7

from monitor.bindings import Account, Ids, IdStyle
from monitor.core.payload import USERS, synthetic_user
from monitor.core.residue import Instance

Id: TypeAlias = "str | UUID | int"
"""An id as an application has it."""

_NAMESPACE = UUID("62696e64-696e-5767-8000-686f6c646661")  # "binding…", in hexadecimal
_BELOW = 1_000_000_000  # no application counts down so far
_ROOM = 1_147_483_640  # how many of them an integer of four bytes still has below that, a multiple of USERS
_MOST = 200_000  # more than the runs of an hour make; what is forgotten is only not known again
K = TypeVar("K")


class Known(Generic[K]):
    """Which id of the application's is which of ours, both ways, for as long as it is of use."""

    def __init__(self) -> None:
        self._there: OrderedDict[UUID, K] = OrderedDict()
        self._back: dict[K, UUID] = {}

    def learn(self, ours: UUID, theirs: K) -> None:
        """These are the same."""
        self._there[ours] = theirs
        self._back[theirs] = ours
        if len(self._there) > _MOST:
            _, forgotten = self._there.popitem(last=False)
            self._back.pop(forgotten, None)

    def there(self, ours: UUID) -> K | None:
        """The application's id, where it is known."""
        return self._there.get(ours)

    def back(self, theirs: K) -> UUID | None:
        """Our id, where it is known."""
        return self._back.get(theirs)

    def forget(self, ours: UUID) -> None:
        """It is not of use any more."""
        theirs = self._there.pop(ours, None)
        if theirs is not None:
            self._back.pop(theirs, None)


class Things:
    """Threads, or messages."""

    def __init__(self, style: IdStyle) -> None:
        self.style = style
        self._known: Known[str] = Known()

    def id(self, ours: UUID) -> Id | None:
        """The application's id; None where the server makes it and has not yet said which."""
        known = self._known.there(ours)
        if known is not None:
            return _typed(self.style, known)
        if self.style.made_by == "server":
            return None
        if self.style.kind == "uuid7":
            made = UUID(str(uuid7()))
            self._known.learn(ours, str(made))
            return made
        return ours if self.style.kind == "uuid" else f"{self.style.prefix}{ours.hex}"

    def learn(self, ours: UUID, theirs: Id) -> None:
        """The server said which id it made."""
        self._known.learn(ours, str(theirs))

    def is_known(self, theirs: Id) -> bool:
        """Whether the server has said it of something of ours."""
        return self._known.back(str(theirs)) is not None

    def ours(self, theirs: Id) -> UUID:
        """Which of ours it is; of what is none of ours, an id that nothing of ours has."""
        text = str(theirs)
        if (known := self._known.back(text)) is not None:
            return known
        try:
            return UUID(text.removeprefix(self.style.prefix))
        except ValueError:
            return uuid5(_NAMESPACE, text)

    def forget(self, ours: UUID) -> None:
        """It is gone."""
        self._known.forget(ours)


class Identities:
    """The ids of one environment's synthetic users, threads and messages.

    With `accounts` users are those that the application knows; the last two are those whose profiles are written.
    """

    def __init__(self, ids: Ids, *, environment: str, instance: Instance, accounts: tuple[Account, ...] = ()) -> None:
        self.threads = Things(ids.thread)
        self.messages = Things(ids.message)
        self._accounts = accounts
        if accounts:
            *free, synced, profiled = [account.id for account in accounts]
            named = {synthetic_user(number): free[number % len(free)] for number in range(USERS - 2)}
            self._users: dict[str, Id] = {
                **named,
                synthetic_user(USERS - 2): profiled,
                synthetic_user(USERS - 1): synced,
            }
        else:
            self._users = {
                synthetic_user(number): _user(ids.user, environment, instance, number) for number in range(USERS)
            }
        self._back = {str(theirs): ours for ours, theirs in reversed(self._users.items())}

    @property
    def shared(self) -> bool:
        """Whether the users are accounts, which whoever has the same configuration has, too."""
        return bool(self._accounts)

    def user(self, ours: str) -> Id:
        """The application's id of a synthetic user."""
        return self._users[ours]

    def user_of(self, theirs: Id) -> str:
        """Which synthetic user it is; of somebody else, what the application says."""
        return self._back.get(str(theirs), str(theirs))

    def owner(self, theirs: Id, *, asked: str) -> str:
        """The same where one synthetic user's thing was asked for: two of ours can be one account."""
        return asked if str(theirs) == str(self.user(asked)) else self.user_of(theirs)

    def account(self, ours: str) -> Account | None:
        """The account of a synthetic user, where users are such."""
        return next((account for account in self._accounts if account.id == self._users[ours]), None)


def _user(style: IdStyle, environment: str, instance: Instance, number: int) -> Id:
    name = f"holdfast-{instance.id}-{number}"
    match style.kind:
        case "text":
            return f"{style.prefix}{name}"
        case "number":
            return -(_BELOW + int(instance.id, 16) * USERS % _ROOM + number)
        case _:
            return uuid5(_NAMESPACE, f"{environment}/{name}")


def _typed(style: IdStyle, text: str) -> Id:
    match style.kind:
        case "number":
            return int(text)
        case "uuid" | "uuid7":
            return UUID(text)
        case _:
            return text
