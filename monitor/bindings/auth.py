"""How synthetic users log in to an application's API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import Field, JsonValue, SecretStr

from monitor.bindings.part import Part
from monitor.values import Length


class Account(Part):
    """One synthetic user whom the application knows already."""

    id: str = Field(description="The id by which the application knows it.")
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
    header: str = Field(default="Authorization", description="The header that carries the token.")
    scheme: str = Field(default="Bearer", description="What stands before the token; nothing where it is empty.")
