"""A versioned document of one user, kept as a row and copied into a cache: what it holds, and how a copy is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from monitor.core.payload import Author, canonical, noise
from monitor.core.verdict import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One version, 1, 2, …, of a document, as it is written and as it is read. `body` is JSON text."""

    id: UUID
    user: str
    version: int
    body: str

    @property
    def digest(self) -> str:
        """A hash of whose it is, of its version, and of the meaning of its body."""
        return _hash([str(self.id), self.user, self.version, canonical(self.body)])

    @property
    def said(self) -> str:
        """A hash of the meaning of its body alone, by which the content of one version is found under another."""
        return _hash(canonical(self.body))

    def encode(self) -> bytes:
        """The copy that a cache keeps: JSON in UTF-8, with the digest, so that damage is recognised."""
        value = {
            "id": str(self.id),
            "user": self.user,
            "version": self.version,
            "digest": self.digest,
            "body": self.body,
        }
        return json.dumps(value, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """What a cache holds under a key: nothing, a document, or (`present`, yet none) what is not whole."""

    present: bool
    document: Document | None = None

    @property
    def damaged(self) -> bool:
        """Whether there is something, and it disagrees with its own digest."""
        return self.present and self.document is None


def decode(value: bytes | None) -> Cached:
    """What a value in a cache is."""
    if value is None:
        return Cached(present=False)
    try:
        parsed = json.loads(value)
        version = int(parsed["version"])
        found = Document(id=UUID(parsed["id"]), user=parsed["user"], version=version, body=parsed["body"])
        return Cached(present=True, document=found if found.digest == parsed["digest"] else None)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Cached(present=True)


def told(version: int | None) -> str:
    """A version that was found, in words; 0 is whatever was there before the first."""
    if version is None:
        return "nothing"
    return f"version {version}" if version else "what an earlier run had written"


def profile(author: Author, *, user: str, version: int) -> Document:
    """A user's profile with preferences and permissions. The first version may write, the later ones may not."""
    key = _key(author, "profile", version)
    body: dict[str, Json] = {
        "preferences": {"theme": "dark" if version % 2 else "light", "language": "de-CH", "zoom": 1.25, "beta": None},
        "profile": {"name": f"Zoë {noise(key, 8)} 🦊", "time_zone": "Europe/Zurich", "about": noise(key, 256)},
        "permissions": ["read", "write"] if version == 1 else ["read"],
    }
    return _document(author, "profile", user=user, version=version, body=body)


def tool_result(author: Author, *, user: str, version: int) -> Document:
    """What a tool answered an agent: dear to ask for again, and so worth a cache."""
    key = _key(author, "tool-result", version)
    body: dict[str, Json] = {
        "tool": "search",
        "arguments": {"query": "holdfast 🪝", "limit": 3},
        "result": [{"rank": rank, "text": noise(f"{key}/{rank}", 256), "score": 0.1 * rank} for rank in range(3)],
    }
    return _document(author, "tool-result", user=user, version=version, body=body)


def _key(author: Author, name: str, version: int) -> str:
    return f"{author.environment}/{author.probe}/{author.run_id}/{name}/{version}"


def _document(author: Author, name: str, *, user: str, version: int, body: Mapping[str, Json]) -> Document:
    return Document(id=author.id(name), user=user, version=version, body=json.dumps(body, ensure_ascii=False))


def _hash(spoken: object) -> str:
    spelled = json.dumps(spoken, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()[:32]
