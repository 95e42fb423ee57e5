"""How synthetic users log in, and that no secret of theirs is ever shown."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import ValidationError

from examples.platform.running import Platform
from monitor.bindings import Account, Auth, Request
from monitor.core.verdict import Reason
from monitor.embedded.servers import Servers
from monitor.ports import Outcome, StoreError
from monitor.stores.api import Who
from tests.bindings.scripted import ACCOUNTS, Counts, Heard, Scripted, connected, reply, replying, scripted, tokens
from tests.platform.conftest import running

ME = Request(path="/threads", returns={"first": "data[0].id"})
ANN = Who(id="ann", account=Account.model_validate(ACCOUNTS[0]))
SECRET = "a secret that is long enough"


def oauth(kind: str, **more: Any) -> Auth:
    """Log-ins at a token endpoint."""
    return Auth.model_validate({"kind": kind, "token_url": "/auth/token", "accounts": ACCOUNTS, **more})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A private key in PEM, and a file with its public one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = tmp_path_factory.mktemp("key") / "public.pem"
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private.decode(), public


@pytest.fixture(scope="module")
async def platform(servers: Servers, pair: tuple[str, Path]) -> AsyncIterator[Platform]:
    """A platform with accounts, which takes RS256 too, and whose tokens live for two seconds."""
    accounts = [word for each in ACCOUNTS for word in ("--account", f"{each['username']}:{each['password']}")]
    async with running(servers, "--public-key", str(pair[1]), "--token-life", "2", *accounts) as started:
        yield started


@pytest.mark.parametrize("kind", ["HS256", "RS256", "password", "client_credentials", "post", "token"])
async def test_each_kind_of_log_in(platform: Platform, pair: tuple[str, Path], kind: str) -> None:
    """A user that logs in is who it is for the application; nobody, and a wrong key, are refused."""
    match kind:
        case "HS256":
            auth = Auth.model_validate({"kind": "jwt", "key": platform.secret})
        case "RS256":
            auth = Auth.model_validate({"kind": "jwt", "algorithm": "RS256", "key": pair[0]})
        case "password":
            auth = oauth("password")
        case "client_credentials":
            auth = oauth("client_credentials")
        case "post":
            auth = oauth("client_credentials", client_auth="post", token_url=f"{platform.url}/auth/token")
        case _:
            claims = {"sub": "ann", "exp": int(time.time()) + 60}
            auth = tokens(jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(platform.secret)))
    who = Who(id="ann", account=auth.accounts[0] if auth.accounts else None)
    create = Request(method="POST", path="/threads", returns={"user": "user_id"})
    async with connected(platform.url, auth=auth) as connection:
        answer = await connection.ask(create, {}, user=who)
        nobody = await connection.ask(ME, {}, user=None, tolerate={401})
    assert (answer.values, nobody.status) == ({"user": "ann"}, 401)


@pytest.mark.parametrize("kind", ["password", "client_credentials"])
async def test_a_wrong_password_is_refused(platform: Platform, kind: str) -> None:
    """The reason names the account and what the server says of it, and not the password."""
    wrong = Account(id="ann", username="ann", password="wrong-password")
    async with connected(platform.url, auth=oauth(kind)) as connection:
        with pytest.raises(StoreError, match=r"log-in of account ann: answered 40[01] .*: invalid_") as failed:
            await connection.ask(ME, {}, user=Who(id="ann", account=wrong))
    assert failed.value.reason is Reason.REFUSED
    assert "wrong-password" not in str(failed.value)


async def test_a_jwt_that_nobody_takes_is_refused() -> None:
    """One new token is tried, and then the log-in is what is wrong."""
    auth, counts = Auth.model_validate({"kind": "jwt", "key": SECRET}), Counts()
    async with scripted(replying(reply(401))) as server, connected(server.url, auth=auth, tally=counts) as connection:
        with pytest.raises(StoreError, match=r"answered 401 Unauthorized \(check how synthetic users log in") as failed:
            await connection.ask(ME, {}, user=ANN)
    assert (failed.value.reason, counts.outcomes) == (Reason.REFUSED, [Outcome.FAILED] * 2)


async def test_a_static_token_cannot_be_renewed() -> None:
    """A 401 for it is told at once."""
    auth = tokens("static-token")
    async with scripted(replying(reply(401))) as server, connected(server.url, auth=auth) as connection:
        with pytest.raises(StoreError):
            await connection.ask(ME, {}, user=Who(id="0", account=auth.accounts[0]))
    assert [each.headers["authorization"] for each in server.heard] == ["Bearer static-token"]


async def test_what_a_jwt_says() -> None:
    """Claims are filled in; the token is used until little of its life is left, for each user a token of its own."""
    claims = {"sub": "{user_id}", "aud": ["app"], "deep": {"user": "u-{user_id}"}}
    auth = Auth.model_validate(
        {"kind": "jwt", "key": "short", "claims": claims, "life": "10m", "header": "X-Auth", "scheme": ""}
    )
    async with scripted(replying(reply(200, {}))) as server, connected(server.url, auth=auth) as connection:
        for user in (-7, -7, "b"):
            await connection.ask(ME, {}, user=Who(id=user))
    had = [each.headers["x-auth"] for each in server.heard]
    said = json.loads(_decoded(had[0].split(".")[1]))
    assert (said["sub"], said["aud"], said["deep"], said["exp"] - said["iat"]) == (-7, ["app"], {"user": "u--7"}, 600)
    assert (had[0] == had[1], had[0] == had[2]) == (True, False)


def _decoded(part: str) -> bytes:
    import base64  # noqa: PLC0415  one line of one test

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_a_token_that_ends_is_renewed(platform: Platform) -> None:
    """Long after the life of its first token a user is still logged in, without a refusal in between."""
    counts = Counts()
    auth = oauth("password")
    async with connected(platform.url, auth=auth, tally=counts) as connection:
        login = await connection.api.logins.login(ANN)
        while (again := await connection.api.logins.login(ANN)) == login:
            await connection.ask(ME, {}, user=ANN)
        await connection.ask(ME, {}, user=ANN)
    assert again is not None
    assert set(counts.outcomes) == {Outcome.OK}


def granting(life: int, *, takes_refresh: bool) -> Any:
    """A token endpoint, and a resource that takes only the newest token."""
    given: list[str] = []

    async def answer(heard: Heard) -> AsyncIterator[bytes]:
        if heard.target == "/auth/token":
            form = dict(parse_qsl(heard.body.decode()))
            if form["grant_type"] == "refresh_token" and not takes_refresh:
                yield reply(400, {"error": "invalid_grant"})
                return
            given.append(f"token-{len(given)}-{form['grant_type']}")
            yield reply(200, {"access_token": given[-1], "expires_in": life, "refresh_token": f"refresh-{len(given)}"})
        else:
            yield reply(200, {}) if given and heard.token == given[-1] else reply(401)

    return answer


def grants(server: Scripted) -> list[dict[str, str]]:
    """What the token endpoint was asked."""
    return [dict(parse_qsl(each.body.decode())) for each in server.heard if each.target == "/auth/token"]


@pytest.mark.parametrize("takes_refresh", [True, False])
async def test_a_refresh_token_is_used(takes_refresh: bool) -> None:  # noqa: FBT001  a parameter of the test
    """A token that the server does not take any more is renewed by its refresh token, or by a new log-in."""
    bob = Who(id="bob", account=Account.model_validate(ACCOUNTS[1]))
    auth, answer = oauth("password", scope="threads"), granting(3600, takes_refresh=takes_refresh)
    async with scripted(answer) as server, connected(server.url, auth=auth) as connection:
        for user in (ANN, bob, ANN):  # the log-in of the second ends the token of the first
            await connection.ask(ME, {}, user=user)
    asked = grants(server)
    assert asked[0] == {"grant_type": "password", "scope": "threads", "username": "ann", "password": "password-of-ann"}
    assert (asked[2]["grant_type"], asked[2]["refresh_token"]) == ("refresh_token", "refresh-1")
    assert [form["grant_type"] for form in asked[3:]] == ([] if takes_refresh else ["password"])


async def test_one_logs_in_for_all() -> None:
    """Of many who ask for the same user at once one logs in; a refusal for all of them is one renewal."""
    answer = granting(3600, takes_refresh=True)
    async with scripted(answer) as server, connected(server.url, auth=oauth("password")) as connection:
        logins = connection.api.logins
        had = await asyncio.gather(*(logins.login(ANN) for _ in range(20)))
        first = had[0]
        assert first is not None
        renewed = await asyncio.gather(*(logins.renewed(ANN, instead_of=first) for _ in range(20)))
    assert len(set(map(id, had))) == len(set(map(id, renewed))) == 1
    assert [form["grant_type"] for form in grants(server)] == ["password", "refresh_token"]


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (reply(200, b"<html>"), Reason.MISCONFIGURED, "answered no token"),
        (reply(200, {"token": "x"}), Reason.MISCONFIGURED, "answered no token"),
        (reply(200, {"access_token": ["x"]}), Reason.MISCONFIGURED, "a token that is no text"),
        (reply(404), Reason.MISCONFIGURED, "answered 404 Not Found"),
        (reply(503), Reason.CAPACITY, "answered 503"),
        (reply(302, Location="https://elsewhere.example/"), Reason.MISCONFIGURED, "redirects to another server"),
    ],
)
async def test_a_token_endpoint_can_fail(answer: bytes, reason: Reason, words: str) -> None:
    """What it answers is told as the log-in's fault, with its own reason."""
    async with scripted(replying(answer)) as server, connected(server.url, auth=oauth("password")) as connection:
        with pytest.raises(StoreError, match=f"log-in of account ann: .*{words}") as failed:
            await connection.ask(ME, {}, user=ANN)
    assert failed.value.reason is reason


async def test_no_secret_is_shown() -> None:
    """A server that quotes what it was sent tells nothing: whatever is secret is taken out of what it says."""
    secret = "hunter2-in-a-header"

    async def answer(heard: Heard) -> AsyncIterator[bytes]:
        if heard.target == "/auth/token":
            yield reply(200, {"access_token": f"eyJhbGciOiJIUzI1NiJ9.{'payload-of-it-all' * 20}.signature-of-it-all"})
        elif heard.token:
            said = (
                f"{heard.token.rpartition('.')[2]} of {heard.headers['x-key']} {heard.token} {'x ' * 40}{heard.token}"
            )
            yield reply(403, {"error": {"message": said}})

    auth = oauth("password")
    async with scripted(answer) as server, connected(server.url, auth=auth, headers={"X-Key": secret}) as connection:
        with pytest.raises(StoreError) as failed:
            await connection.ask(ME, {}, user=ANN)
    said = f"{failed.value!r}"
    assert "answered 403 Forbidden: ******** of ******** ********" in said
    assert [word for word in (secret, "signature", "payload", "password-of") if word in said] == []
    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "token"}, "kind token needs accounts; name at least 4 users"),
        ({"kind": "token", "accounts": ACCOUNTS[:3]}, "has 3 accounts; at least 4 are needed"),
        ({"kind": "token", "accounts": ACCOUNTS}, "kind token needs token of each account; ann has none"),
        (
            {"kind": "token", "accounts": [{"id": str(n), "token": "planted secret\n"} for n in range(4)]},
            "the token of account 0 has characters that no header can carry",
        ),
        ({"kind": "password", "accounts": ACCOUNTS}, "kind password needs token_url"),
        (
            {"kind": "password", "accounts": [*ACCOUNTS, ACCOUNTS[0]], "token_url": "/t"},
            "two accounts with the same id",
        ),
        (
            {"kind": "client_credentials", "token_url": "/t", "accounts": [{"id": n} for n in "abcd"]},
            "needs username and password of each account; a has none",
        ),
        (
            {
                "kind": "client_credentials",
                "token_url": "/t",
                "accounts": [{**each, "password": "plänted"} for each in ACCOUNTS],
            },
            "HTTP Basic cannot carry every letter of these log-ins; say client_auth: post",
        ),
        ({"kind": "jwt"}, "kind jwt needs key: the secret"),
        ({"kind": "jwt", "algorithm": "RS256"}, "kind jwt needs key: the private key in PEM"),
        ({"kind": "jwt", "algorithm": "RS256", "key": "planted secret"}, "key is no private RSA key in PEM"),
        ({"kind": "jwt", "key": "planted secret", "claims": {"sub": "{user}"}}, "did you mean {user_id}?"),
        ({"kind": "jwt", "key": "planted secret", "accounts": ACCOUNTS[:2]}, "has 2 accounts"),
        ({"kind": "jwt", "key": "planted secret", "header": "X Y"}, "String should match pattern"),
    ],
)
def test_what_is_missing_is_told_at_load(given: dict[str, Any], words: str) -> None:
    """Each kind says what it needs, and quotes no secret."""
    with pytest.raises(ValidationError) as refused:
        Auth.model_validate(given)
    assert words in str(refused.value)
    assert "planted" not in str(refused.value)
    assert "plänted" not in str(refused.value)
    assert "password-of" not in str(refused.value)


def test_only_a_private_rsa_key_signs(pair: tuple[str, Path]) -> None:
    """The key of RS256 is a private one of RSA, and not behind a password."""
    private = serialization.load_pem_private_key(pair[0].encode(), None)
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    locked = private.private_bytes(*kinds, serialization.BestAvailableEncryption(b"planted"))
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(*kinds, serialization.NoEncryption())
    for key in (pair[1].read_text(), locked.decode(), other.decode()):
        with pytest.raises(ValidationError, match="key is no private RSA key"):
            Auth.model_validate({"kind": "jwt", "algorithm": "RS256", "key": key})
