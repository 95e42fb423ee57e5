"""Taking secrets out of text that is about to be seen by somebody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "********"
_SHORTEST = 4  # a shorter secret would mask half of every sentence, and protects nothing


class Scrubber:
    """Replaces every known secret in a text by asterisks, also as it is spelled in URLs, in Python and in JSON."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        known = sorted((s for s in spellings if len(s) >= _SHORTEST), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """The same text without secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _spellings(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        unquote(secret),
        repr(secret)[1:-1],
        repr("'\"" + secret)[4:-1],  # inside a text with both quotes, where repr escapes the single ones
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }


def secrets_of(url: str) -> list[str]:
    """The password inside a DSN or URL, as written and decoded, or nothing."""
    try:
        password = urlsplit(url).password
    except ValueError:  # what cannot be parsed is a secret as a whole
        return [url]
    in_query = re.findall(r"[?&](?:password|sslpassword)=([^&]*)", url)
    return [spelling for found in (password, *in_query) if found for spelling in (found, unquote(found))]
