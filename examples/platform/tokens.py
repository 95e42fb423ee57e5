"""Bearer tokens: JWTs whose `sub` is the user. Whoever has the secret (or the private key) may mint them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, TypeAlias

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import GuestProtocol, OctKey, RSAKey

Use: TypeAlias = Literal["access", "refresh"]

REFRESH_LIVES = 24
"""How many lives of an access token a refresh token lasts."""

_LONGEST_USER = 200


class InvalidTokenError(Exception):
    """The token is none of ours, or its time is over; the message says which."""


class Tokens:
    """Mints HS256 tokens; reads those, and RS256 tokens where there is a public key."""

    def __init__(self, *, secret: str, life: int, public_key: Path | None = None) -> None:
        self.life = life
        self._keys: dict[str, OctKey | RSAKey] = {"HS256": OctKey.import_key(secret)}
        if public_key is not None:
            self._keys["RS256"] = RSAKey.import_key(public_key.read_bytes())
        self._claims = jwt.JWTClaimsRegistry(sub={"essential": True}, exp={"essential": True})

    def mint(self, user: str, *, use: Use = "access") -> str:
        """A token for a user, from now on."""
        now = int(time.time())
        life = self.life if use == "access" else self.life * REFRESH_LIVES
        return jwt.encode(
            {"alg": "HS256"}, {"sub": user, "iat": now, "exp": now + life, "use": use}, self._keys["HS256"]
        )

    def user_of(self, text: str, *, use: Use = "access") -> str:
        """The user of a token that is good for this use; raises InvalidTokenError."""
        try:
            claims = jwt.decode(text, self._key, algorithms=list(self._keys)).claims
            self._claims.validate(claims)
        except (JoseError, ValueError) as error:
            raise InvalidTokenError(f"the token is not valid: {error}") from error
        user = claims["sub"]
        if not isinstance(user, str) or not user.isprintable() or not 0 < len(user) <= _LONGEST_USER:
            raise InvalidTokenError("the token's sub names no user")
        if claims.get("use", "access") != use:
            raise InvalidTokenError(f"this is no {use} token")
        return user

    def _key(self, token: GuestProtocol) -> OctKey | RSAKey:
        # By the algorithm, so that a public key can never serve as a shared secret.
        try:
            return self._keys[token.headers()["alg"]]
        except KeyError as error:
            raise InvalidTokenError("the token is signed in a way that is not accepted here") from error
