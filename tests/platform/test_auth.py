"""Who may come in, and how often."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from examples.platform.running import Platform
from monitor.embedded.servers import Servers
from tests.platform.conftest import MakeUser, running

ACCOUNTS = {"carol": "correct horse", "robot": "s3cret:with%colon"}


@pytest.fixture(scope="module")
def private_key() -> RSAKey:
    """The key of an identity provider."""
    return RSAKey.generate_key(2048)


@pytest.fixture(scope="module")
async def guarded(
    servers: Servers, private_key: RSAKey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """A platform with accounts, a provider's public key, and a rate."""
    public_key = tmp_path_factory.mktemp("keys") / "provider.pem"
    public_key.write_bytes(private_key.as_pem(private=False))
    accounts = [f"--account={user}:{password}" for user, password in ACCOUNTS.items()]
    options = ("--rate", "5", "--token-life", "120", "--public-key", str(public_key))
    async with running(servers, *options, *accounts) as started:
        yield started


@pytest.fixture
async def anybody(guarded: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with httpx.AsyncClient(base_url=guarded.url, timeout=10) as client:
        yield client


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _key(platform: Platform) -> OctKey:
    return OctKey.import_key(platform.secret)


def _claims(**changes: object) -> dict[str, object]:
    claims = {"sub": f"user-{secrets.token_hex(4)}", "exp": int(time.time()) + 60} | changes
    return {name: value for name, value in claims.items() if value is not None}


def _by_hand(alg: str, key: bytes | None) -> str:
    """A token that no library would make."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    signed = ".".join(part(json.dumps(value).encode()) for value in ({"alg": alg}, _claims()))
    return f"{signed}.{part(hmac.digest(key, signed.encode(), 'sha256')) if key else ''}"


async def test_a_password_buys_tokens(anybody: httpx.AsyncClient) -> None:
    """The access token lets in; the refresh token buys new ones, and lets nobody in."""
    form = {"grant_type": "password", "username": "carol", "password": ACCOUNTS["carol"]}
    granted = (await anybody.post("/auth/token", data=form)).raise_for_status().json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 120)
    assert (await anybody.get("/threads", headers=_bearer(granted["access_token"]))).status_code == 200
    assert (await anybody.get("/threads", headers=_bearer(granted["refresh_token"]))).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    again = (await anybody.post("/auth/token", data=form)).raise_for_status().json()
    assert (await anybody.get("/threads", headers=_bearer(again["access_token"]))).status_code == 200
    form["refresh_token"] = granted["access_token"]
    assert (await anybody.post("/auth/token", data=form)).json()["error"] == "invalid_grant"


async def test_a_log_in_by_password_is_remembered(anybody: httpx.AsyncClient) -> None:
    """The profile's last_login moves, and no old copy of it is shown."""
    form = {"grant_type": "password", "username": "carol", "password": ACCOUNTS["carol"]}
    headers = _bearer((await anybody.post("/auth/token", data=form)).json()["access_token"])
    before = (await anybody.put("/me/profile", json={}, headers=headers)).json()["last_login"]
    assert (await anybody.get("/me/profile", headers=headers)).json()["last_login"] == before
    await anybody.post("/auth/token", data=form)
    assert (await anybody.get("/me/profile", headers=headers)).json()["last_login"] > (before or "")


async def test_a_client_has_credentials_in_the_form_or_by_basic(anybody: httpx.AsyncClient) -> None:
    """Both ways of RFC 6749, and no refresh token."""
    client = {"client_id": "robot", "client_secret": ACCOUNTS["robot"]}
    by_form = await anybody.post("/auth/token", data={"grant_type": "client_credentials"} | client)
    basic = httpx.BasicAuth("robot", "s3cret%3Awith%25colon")  # each part is encoded before they are joined
    by_basic = await anybody.post("/auth/token", data={"grant_type": "client_credentials"}, auth=basic)
    for reply in (by_form, by_basic):
        assert set(reply.json()) == {"access_token", "token_type", "expires_in"}
        assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "magic"}, 400, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "carol", "password": "wrong"}, 400, "invalid_grant"),
        ({"grant_type": "password", "username": "nobody", "password": ""}, 400, "invalid_grant"),
        ({"grant_type": "client_credentials", "client_id": "robot", "client_secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
    ],
)
async def test_a_wrong_grant_is_refused(
    anybody: httpx.AsyncClient, form: dict[str, str], status: int, code: str
) -> None:
    """In the words of RFC 6749."""
    reply = await anybody.post("/auth/token", data=form)
    assert (reply.status_code, reply.json()["error"]) == (status, code)


async def test_who_has_a_key_may_mint(anybody: httpx.AsyncClient, guarded: Platform, private_key: RSAKey) -> None:
    """HS256 by the secret, RS256 by the provider's key; the sub is the user."""
    for alg, key in (("HS256", _key(guarded)), ("RS256", private_key)):
        headers = _bearer(jwt.encode({"alg": alg}, _claims(sub=f"minted-by-{alg}"), key))
        assert (await anybody.post("/threads", json={}, headers=headers)).json()["user_id"] == f"minted-by-{alg}"


async def test_a_token_that_is_not_good_is_a_401(
    anybody: httpx.AsyncClient, guarded: Platform, private_key: RSAKey
) -> None:
    """Expired, unsigned, by another's key, by the public key as if it were the secret, for nobody, or none."""
    ours, hs = _key(guarded), {"alg": "HS256"}
    tokens = {
        "expired": jwt.encode(hs, _claims(exp=int(time.time()) - 1), ours),
        "endless": jwt.encode(hs, _claims(exp=None), ours),
        "nobody's": jwt.encode(hs, _claims(sub=None), ours),
        "empty": jwt.encode(hs, _claims(sub=""), ours),
        "with a NUL": jwt.encode(hs, _claims(sub="a\0b"), ours),
        "a number's": jwt.encode(hs, _claims(sub=7), ours),
        "another secret's": jwt.encode(hs, _claims(), OctKey.import_key("x" * 32)),
        "another provider's": jwt.encode({"alg": "RS256"}, _claims(), RSAKey.generate_key(2048)),
        "the public key's": _by_hand("HS256", private_key.as_pem(private=False)),
        "unsigned": _by_hand("none", None),
    }
    for what, token in tokens.items():
        reply = await anybody.get("/threads", headers=_bearer(token))
        assert reply.status_code == 401, what
        assert reply.headers["WWW-Authenticate"].startswith("Bearer"), what
    assert (await anybody.get("/threads")).status_code == 401


async def test_too_many_requests_of_one_user_have_to_wait(guarded: Platform, make_user: MakeUser) -> None:
    """A 429 with Retry-After; another user is not held up."""
    ann, bob = make_user(at=guarded), make_user(at=guarded)
    replies = [await ann.get("/threads") for _ in range(12)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert refused
    assert {reply.headers["Retry-After"] for reply in refused} == {"1"}
    assert (await bob.get("/threads")).status_code == 200
