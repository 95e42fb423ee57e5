"""Secrets in every spelling, in any text."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus, unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.secrets import MASK, Scrubber, secrets_of

AWKWARD = "p@ss/w ö\"r'd\\%#\n"
SECRETS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=20)
TEXTS = st.text(max_size=30)

SPELLINGS = {
    "raw": str,
    "quoted": quote,
    "quoted whole": lambda secret: quote(secret, safe=""),
    "form": quote_plus,
    "repr": lambda secret: repr(secret)[1:-1],
    "repr among both quotes": lambda secret: repr(f"'{secret}\"")[3:-2],
    "json": lambda secret: json.dumps(secret)[1:-1],
    "json in utf-8": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "orjson": lambda secret: orjson.dumps(secret).decode()[1:-1],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(secret=SECRETS, before=TEXTS, after=TEXTS)
def test_no_secret_survives_in_any_text(spelling: str, secret: str, before: str, after: str) -> None:
    """A secret of four characters or more, spelled in any way and put into any text, is not in it afterwards."""
    spelled = SPELLINGS[spelling](secret)
    scrubbed = Scrubber([secret])(f"{before}{spelled}{after}")
    assert spelled not in scrubbed
    assert secret not in scrubbed
    assert MASK in scrubbed


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_each_spelling_is_masked_and_nothing_else(spelling: str) -> None:
    """What stands around a secret stays."""
    assert Scrubber([AWKWARD])(f"a {SPELLINGS[spelling](AWKWARD)} b") == f"a {MASK} b"


@given(st.lists(SECRETS, max_size=4), TEXTS)
def test_a_text_without_secrets_stays(secrets: list[str], text: str) -> None:
    """Where no spelling of any secret is in a text, not a character of it changes."""
    if not any(spell(secret) in text for secret in secrets for spell in (*SPELLINGS.values(), unquote)):
        assert Scrubber(secrets)(text) == text


def test_two_that_touch_are_both_masked() -> None:
    """A secret that ends with a backslash does not shield the one behind it."""
    assert Scrubber(["000\\"])("000\\000\\000\\ 1") == f"{MASK}{MASK}{MASK} 1"


def test_the_longest_secret_wins() -> None:
    """Where one secret begins with another, no tail of the longer one is left."""
    assert Scrubber(["hunter", "hunter-two"])("hunter-two hunter") == f"{MASK} {MASK}"


@pytest.mark.parametrize("secret", ["", "a", "abc"])
def test_short_secrets_do_not_mask_half_of_every_sentence(secret: str) -> None:
    """Fewer than four characters protect nothing and are left alone."""
    assert Scrubber([secret])("a cab has abc") == "a cab has abc"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://holdfast@db/app", []),
        ("postgresql://holdfast:s3cret@db/app", ["s3cret"]),
        ("postgresql://holdfast:p%40ss@db/app", ["p%40ss", "p@ss"]),
        ("postgresql://db/app?user=x&password=s3cret&sslpassword=k%20y", ["s3cret", "k%20y", "k y"]),
        ("rediss://:s3cret@cache:6379/0", ["s3cret"]),
        ("redis://[broken:s3cret@cache", ["redis://[broken:s3cret@cache"]),
        ("postgresql://holdfast:a@b@db/app", ["a@b"]),
    ],
)
def test_the_passwords_of_a_url_are_its_secrets(url: str, wanted: list[str]) -> None:
    """Passwords in the authority and in the query, as written and decoded; all of what cannot be parsed."""
    assert sorted(set(secrets_of(url))) == sorted(wanted)


@given(SECRETS)
def test_any_password_is_found_in_its_url(password: str) -> None:
    """Whatever a password is, percent-encoded in a URL it is found decoded and as written."""
    url = f"postgresql://holdfast:{quote(password, safe='')}@db.example/app"
    assert set(secrets_of(url)) == {password, quote(password, safe="")}
    assert password not in Scrubber(secrets_of(url))(f"cannot connect to {url} with {password}")
