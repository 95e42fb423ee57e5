"""Tokens of synthetic users: given, minted or had by OAuth 2 (RFC 6749), one for each, renewed before they end."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, time

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from monitor.bindings import Account, Auth
from monitor.bindings.templates import filled
from monitor.core.verdict import Reason
from monitor.stores.api import Api, Who
from monitor.stores.api_errors import in_words, of_status
from monitor.stores.api_requests import Asked
from monitor.stores.api_wire import Wire

_OK, _REFUSALS = 200, frozenset({400, 401, 403})
_FOREVER = float("inf")
_LEAST_LEFT = 30.0  # seconds; a token with less is renewed, so that it does not end on its way
_SHARE_LEFT = 0.2  # of the life of a token that lives shorter; its end is given in whole seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A token in use. `until` is when it has to be renewed, on the monotonic clock."""

    headers: Mapping[str, str]
    until: float = _FOREVER
    refresh: str | None = None


class Logins:
    """The tokens of one API's synthetic users. Of several who ask for the same one logs in, and the others wait."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._logins: dict[str, Login] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def login(self, who: Who) -> Login | None:
        """A token that is good for a while; None where nobody has to log in. Raises StoreError."""
        auth = self._api.address.auth
        if auth is None:
            return None
        async with self._lock(who):
            known = self._logins.get(str(who.id))
            if known is None or monotonic() >= known.until:
                known = self._logins[str(who.id)] = await self._new(auth, who, known)
            return known

    async def renewed(self, who: Who, *, instead_of: Login) -> Login:
        """Another token for one that the server does not take; the same where there is none. Raises StoreError."""
        auth = self._api.address.auth
        if auth is None or auth.kind == "token":
            return instead_of
        async with self._lock(who):
            known = self._logins.get(str(who.id), instead_of)
            if known is instead_of:
                known = self._logins[str(who.id)] = await self._new(auth, who, known)
            return known

    def _lock(self, who: Who) -> asyncio.Lock:
        return self._locks.setdefault(str(who.id), asyncio.Lock())

    async def _new(self, auth: Auth, who: Who, before: Login | None) -> Login:
        match auth.kind:
            case "token":
                token = self._account(who).token
                return self._login(auth, token.get_secret_value() if token else "")
            case "jwt":
                life = auth.life.total_seconds()
                return self._login(auth, self._minted(auth, who), life=life)
            case "client_credentials" | "password":
                return await self._asked_for(auth, self._account(who), before.refresh if before else None)

    def _login(self, auth: Auth, token: str, *, life: float = _FOREVER, refresh: str | None = None) -> Login:
        self._api.keep_secret(token)
        if refresh is not None:
            self._api.keep_secret(refresh)
        return Login(
            headers={auth.header: f"{auth.scheme} {token}".strip()},
            until=monotonic() + life - min(_LEAST_LEFT, max(1.0, life * _SHARE_LEFT)),
            refresh=refresh,
        )

    def _account(self, who: Who) -> Account:
        if who.account is None:
            raise self._api.error(Reason.MISCONFIGURED, "a synthetic user has no account; name more under `api.auth`")
        return who.account

    def _minted(self, auth: Auth, who: Who) -> str:
        now = int(time())
        user = who.id if isinstance(who.id, int) else str(who.id)
        claims = filled(dict(auth.claims), {"user_id": user})
        key = auth.key.get_secret_value() if auth.key else ""
        with warnings.catch_warnings(action="ignore"):  # that a secret is short is the application's decision
            made = RSAKey.import_key(key) if auth.algorithm == "RS256" else OctKey.import_key(key)
        times = {"iat": now, "exp": now + int(auth.life.total_seconds())}
        return jwt.encode({"alg": auth.algorithm}, {**(claims if isinstance(claims, dict) else {}), **times}, made)

    async def _asked_for(self, auth: Auth, account: Account, refresh: str | None) -> Login:
        """A token from the token endpoint: for the refresh token, where there is one that it takes, or anew."""
        wire = Wire(self._api, "log-in")
        try:
            if refresh is not None:
                found = await self._granted(wire, auth, account, "refresh_token", refresh_token=refresh)
                if found is not None:
                    return found
            if auth.kind == "password":
                secret = account.password.get_secret_value() if account.password else ""
                found = await self._granted(wire, auth, account, "password", username=account.username, password=secret)
            else:
                found = await self._granted(wire, auth, account, "client_credentials")
        finally:
            await wire.close()
        if found is None:
            raise AssertionError("a refusal of these grants is raised")
        return found

    async def _granted(
        self, wire: Wire, auth: Auth, account: Account, grant: str, **parameters: str | None
    ) -> Login | None:
        """The token for a grant; None where a refresh token is not taken any more. Raises StoreError."""
        url = self._api.url(auth.token_url) if auth.token_url.startswith("/") else auth.token_url
        body = prepare_token_request(grant, scope=auth.scope or None, **parameters)
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        url, headers, body = _client(auth, account).prepare("POST", url, headers, body)
        asked = Asked(
            method="POST", url=url, shown=f"log-in of account {account.id}", headers=headers, body=body.encode()
        )
        reply = await wire.exchange(asked)
        if reply.status in _REFUSALS and grant == "refresh_token":
            return None
        said = "" if reply.status == _OK else in_words(reply.status, reply.body, scrub=self._api.scrub)
        if reply.status in _REFUSALS:
            raise wire.error(asked, Reason.REFUSED, f"{said} (check username and password of the account)")
        if reply.status != _OK:
            reason, advice = of_status(reply.status)
            raise wire.error(asked, reason, f"{said} ({advice})")
        try:
            told = json.loads(reply.body)
            token, refresh = told["access_token"], told.get("refresh_token")
            life = float(told.get("expires_in") or _FOREVER)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise wire.error(asked, Reason.MISCONFIGURED, "answered no token (check token_url)") from None
        if not isinstance(token, str):
            raise wire.error(asked, Reason.MISCONFIGURED, "answered a token that is no text (check token_url)")
        kept = refresh if isinstance(refresh, str) else parameters.get("refresh_token")
        return self._login(auth, token, life=life, refresh=kept)


def _client(auth: Auth, account: Account) -> ClientAuth:
    """Who asks for a token: of client credentials the account itself, else the client of the application."""
    given = auth.client_secret
    name, secret = auth.client_id, given.get_secret_value() if given else ""
    if auth.kind == "client_credentials":
        name, secret = account.username or "", account.password.get_secret_value() if account.password else ""
    if not secret:
        return ClientAuth(name, "", "none" if name else _nobody)
    return ClientAuth(name, secret, f"client_secret_{auth.client_auth}")


def _nobody(
    _client: ClientAuth, _method: str, url: str, headers: dict[str, str], body: str
) -> tuple[str, dict[str, str], str]:
    """A client that has no name."""
    return url, headers, body
