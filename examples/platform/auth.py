"""Log-in by OAuth 2 (RFC 6749): password, client credentials, refresh token."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from examples.platform import profiles
from examples.platform.answers import Json
from examples.platform.calls import read_body
from examples.platform.service import Service
from examples.platform.tokens import InvalidTokenError


class GrantError(Exception):
    """No token; `code` is RFC 6749's word for why."""

    def __init__(self, code: str, message: str, *, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


async def token(request: Request) -> Response:
    """POST /auth/token."""
    service: Service = request.app.state.service
    try:
        form = await _form(request)
        return Json(await _grant(service, request, form), headers={"Cache-Control": "no-store"})
    except GrantError as error:
        challenge = {"WWW-Authenticate": "Basic"} if error.status == HTTPStatus.UNAUTHORIZED else None
        return Json({"error": error.code, "error_description": str(error)}, error.status, challenge)


async def _grant(service: Service, request: Request, form: Mapping[str, str]) -> Mapping[str, object]:
    match form.get("grant_type"):
        case "password":
            user = _known(service, form.get("username", ""), form.get("password", ""))
            if user is None:
                raise GrantError("invalid_grant", "the name or the password is wrong")
            await profiles.logged_in(service, user)
            return _answer(service, user) | {"refresh_token": service.tokens.mint(user, use="refresh")}
        case "client_credentials":
            user = _known(service, *_client(request, form))
            if user is None:
                message = "the client's id or secret is wrong"
                raise GrantError("invalid_client", message, status=HTTPStatus.UNAUTHORIZED)
            return _answer(service, user)
        case "refresh_token":
            try:
                user = service.tokens.user_of(form.get("refresh_token", ""), use="refresh")
            except InvalidTokenError as error:
                raise GrantError("invalid_grant", str(error)) from error
            return _answer(service, user) | {"refresh_token": service.tokens.mint(user, use="refresh")}
        case None:
            raise GrantError("invalid_request", "grant_type is missing")
        case other:
            raise GrantError("unsupported_grant_type", f"{other[:40]!r} is not known here")


def _answer(service: Service, user: str) -> dict[str, object]:
    return {
        "access_token": service.tokens.mint(user),
        "token_type": "Bearer",
        "expires_in": service.tokens.life,
    }


def _known(service: Service, user: str, password: str) -> str | None:
    expected = service.options.accounts.get(user)
    right = secrets.compare_digest((expected or "").encode(), password.encode())
    return user if right and expected else None


def _client(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    """Id and secret of a client, from HTTP Basic or from the form."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        name, _, secret = base64.b64decode(given).decode().partition(":")
    except ValueError as error:
        message = "the Authorization header is no HTTP Basic"
        raise GrantError("invalid_client", message, status=HTTPStatus.UNAUTHORIZED) from error
    return unquote_plus(name), unquote_plus(secret)


async def _form(request: Request) -> Mapping[str, str]:
    try:
        return dict(parse_qsl((await read_body(request)).decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError as error:
        raise GrantError("invalid_request", "the body is no form") from error
