"""Taking secrets out of text that is about to be seen by somebody."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

MASK = "********"
_SHORTEST = 4  # a shorter secret would mask half of every sentence, and protects nothing
_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_ONE_UNIT = 4  # hexadecimal digits of a character that UTF-16 has in one piece


class Scrubber:
    """Replaces every known secret in a text by asterisks, however URLs, Python and JSON spell it, also one in another.

    A traceback quotes what an error has quoted, and a line of JSON quotes that again; so it is each character of a
    secret that may stand there as it is, with any number of backslashes before it, by its number, or percent-encoded.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {spelling for secret in secrets for spelling in (secret, unquote(secret)) if len(spelling) >= _SHORTEST}
        patterns = ("".join(map(_spelled, secret)) for secret in sorted(known, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<!\\)(?:{'|'.join(patterns)})") if known else None

    def __call__(self, text: str) -> str:
        """The same text without secrets."""
        parts = []
        # Cut off behind each: a backslash that ends one secret is none that belongs to the next.
        while self._pattern and (found := self._pattern.search(text)):
            parts += [text[: found.start()], MASK]
            text = text[found.end() :]
        return "".join((*parts, text))


def _spelled(character: str) -> str:
    """A pattern for one character in any spelling."""
    encoded = character.encode("utf-8", "surrogatepass")
    forms = [re.escape(character), "".join(f"%{byte:02x}" for byte in encoded)]
    if character == "\\":
        return rf"(?:\\+|\\*(?i:{forms[1]}))"
    if character == " ":
        forms.append(r"\+")
    if not (character.isascii() and character.isprintable()):
        forms += [_ESCAPES.get(character, ""), f"x{ord(character):02x}", f"u{ord(character):04x}"]
        forms.append(f"u{ord(character):08x}")
        pair = character.encode("utf-16-be", "surrogatepass").hex()
        forms.append(rf"u{pair[:4]}\\+u{pair[4:]}" if len(pair) > _ONE_UNIT else "")
        return rf"\\*(?:{forms[0]}|(?i:{'|'.join(form for form in forms[1:] if form)}))"
    return rf"\\*(?:{forms[0]}|(?i:{'|'.join(forms[1:])}))"


def secrets_of(url: str) -> list[str]:
    """The password inside a DSN or URL, as written and decoded, or nothing."""
    try:
        password = urlsplit(url).password
    except ValueError:  # what cannot be parsed is a secret as a whole
        return [url]
    in_query = re.findall(r"[?&](?:password|sslpassword|sentinel_password)=([^&]*)", url)
    return [spelling for found in (password, *in_query) if found for spelling in (found, unquote(found))]
