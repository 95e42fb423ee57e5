"""How synthetic users log in to an application's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Literal

from pydantic import Field, JsonValue, SecretStr, model_validator

from monitor.bindings.part import Part
from monitor.bindings.templates import make_sure_known
from monitor.values import Length

_LEAST_ACCOUNTS = 4
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "token": ("token",),
    "jwt": (),
    "client_credentials": ("username", "password"),
    "password": ("username", "password"),
}


class Account(Part):
    """One synthetic user whom the application knows already."""

    id: str = Field(min_length=1, description="The id by which the application knows it.")
    token: SecretStr | None = Field(default=None, description="Its token, where log-ins are by static tokens.")
    username: str | None = Field(default=None, description="Its name (or client id) for the log-in.")
    password: SecretStr | None = Field(default=None, description="Its password (or client secret).")


class Auth(Part):
    """How synthetic users log in."""

    kind: Literal["token", "jwt", "client_credentials", "password"] = Field(
        description="Static tokens, JWTs that Holdfast mints, or OAuth2 by client credentials or by password."
    )
    accounts: tuple[Account, ...] = Field(
        default=(), description="Users whom the application knows; at least four, and for this daemon alone."
    )
    algorithm: Literal["HS256", "RS256"] = Field(default="HS256", description="How a JWT is signed.")
    key: SecretStr | None = Field(default=None, description="The secret, or the private key in PEM, that signs JWTs.")
    claims: Mapping[str, JsonValue] = Field(
        default={"sub": "{user_id}"}, description="What a JWT says; iat and exp are added."
    )
    life: Length = Field(default=timedelta(minutes=5), description="How long a JWT is valid.")
    token_url: str = Field(
        default="", description="Where OAuth2 tokens are had; below base_url where it begins with /."
    )
    scope: str = Field(default="", description="The scope that is asked for.")
    client_id: str = Field(default="", description="The application's client id, where log-ins by password need one.")
    client_secret: SecretStr | None = Field(default=None, description="The secret of that client, where it has one.")
    client_auth: Literal["basic", "post"] = Field(
        default="basic", description="Whether a client shows its secret by HTTP Basic or in the form."
    )
    header: str = Field(
        default="Authorization", pattern=r"^[A-Za-z0-9-]+$", description="The header that carries the token."
    )
    scheme: str = Field(default="Bearer", description="What stands before the token; nothing where it is empty.")

    @property
    def secrets(self) -> Iterator[str]:
        """All that is never to be shown."""
        given = (self.key, self.client_secret, *(each for own in self.accounts for each in (own.token, own.password)))
        return (secret.get_secret_value() for secret in given if secret is not None)

    @model_validator(mode="after")
    def _is_complete(self) -> Auth:
        if self.kind == "jwt":
            _make_sure_signs(self.algorithm, self.key)
            make_sure_known(dict(self.claims), {"user_id"}, where="claims")
        elif not self.accounts:
            raise ValueError(f"kind {self.kind} needs accounts; name at least {_LEAST_ACCOUNTS} users for this daemon")
        if self.kind in {"client_credentials", "password"} and not self.token_url.startswith(
            ("/", "https://", "http://")
        ):
            raise ValueError(
                f"kind {self.kind} needs token_url; write it like /oauth/token or https://login.example/token"
            )
        if self.accounts:
            _make_sure_enough(self.kind, self.accounts)
        if self.client_auth == "basic" and self.kind in {"client_credentials", "password"}:
            _make_sure_basic(self)
        return self


def _make_sure_basic(auth: Auth) -> None:
    shown = [auth.client_id, auth.client_secret.get_secret_value() if auth.client_secret else ""]
    if auth.kind == "client_credentials":
        shown = [
            text
            for own in auth.accounts
            if own.password
            for text in (own.username or "", own.password.get_secret_value())
        ]
    if not all(text.isascii() for text in shown):
        raise ValueError("HTTP Basic cannot carry every letter of these log-ins; say client_auth: post")


def _make_sure_enough(kind: str, accounts: tuple[Account, ...]) -> None:
    if len(accounts) < _LEAST_ACCOUNTS:
        raise ValueError(
            f"has {len(accounts)} accounts; at least {_LEAST_ACCOUNTS} are needed: two whose data are kept apart, and"
            " one for each of the probes `profile` and `sync`"
        )
    if len({account.id for account in accounts}) < len(accounts):
        raise ValueError("has two accounts with the same id; each must be another user")
    for account in accounts:
        missing = [name for name in _NEEDED[kind] if not getattr(account, name)]
        if missing:
            raise ValueError(f"kind {kind} needs {' and '.join(missing)} of each account; {account.id} has none")
        token = account.token.get_secret_value() if account.token else ""
        if not (token.isascii() and token.isprintable()):
            raise ValueError(f"the token of account {account.id} has characters that no header can carry")


def _make_sure_signs(algorithm: str, key: SecretStr | None) -> None:
    if key is None or not key.get_secret_value():
        raise ValueError(f"kind jwt needs key: the {'secret' if algorithm == 'HS256' else 'private key in PEM'}")
    if algorithm == "RS256":
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  a daemon without a binding needs none
        from joserfc.errors import JoseError  # noqa: PLC0415  the same
        from joserfc.jwk import RSAKey  # noqa: PLC0415  the same

        try:
            private = RSAKey.import_key(key.get_secret_value()).is_private
        except (ValueError, TypeError, JoseError, UnsupportedAlgorithm):  # its text may quote the key
            private = False
        if not private:
            raise ValueError("key is no private RSA key in PEM, which RS256 needs; it begins with -----BEGIN")
