"""Sends the requests of a registry's administrator."""

from skillpm.errors import (
    AuthError,
    IntegrityError,
    NotFoundError,
    RegistryError,
    SkillpmError,
    SpecError,
    StateError,
    UsageError,
    capped,
)
from skillpm.index.library import httpx
from skillpm.index.remote_administration import AdminRequest, RemoteAdministration
from skillpm.spec import json
from skillpm.spec.location import RegistryLocation

ANSWER_LIMIT = 16 << 20
"""Bytes of an answer."""
_TIMEOUT = 60.0
_SHOWN = 400
_SERVER_ERROR = 500
_FAMILIES: dict[int, type[SkillpmError]] = {
    400: SpecError, 401: AuthError, 403: AuthError, 404: NotFoundError, 409: StateError,
    422: IntegrityError,
}  # fmt: skip


def administer_over_http(location: RegistryLocation, token: str | None) -> RemoteAdministration:
    """Administer the registry at a URL. The token goes to this URL only: nothing is redirected.

    Raises `AuthError` without a token.
    """
    if not token:
        raise AuthError(
            f"registry `{location}` needs the token of an administrator",
            hint="set SKILLPM_TOKEN to a token with the action `admin`",
        )
    if not (token.isascii() and token.isprintable()):
        raise UsageError("SKILLPM_TOKEN is not a token: expected visible ASCII characters")
    client = httpx.Client(
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        timeout=_TIMEOUT,
        follow_redirects=False,
    )
    base = location.public().rstrip("/")

    def ask(request: AdminRequest) -> bytes:
        return _sent(client, location, base, request)

    return RemoteAdministration(ask, client.close)


def _sent(
    client: "httpx.Client", location: RegistryLocation, base: str, request: AdminRequest
) -> bytes:
    try:
        with client.stream(
            request.method, f"{base}{request.path}", content=request.body or None
        ) as response:
            body = _body(response, location)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        reason = str(problem) or type(problem).__name__
        raise RegistryError(f"registry `{location}` cannot be reached: {reason}") from problem
    if not response.is_success:
        raise _refusal(location, request, response.status_code, body)
    return body


def _body(response: "httpx.Response", location: RegistryLocation) -> bytes:
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > ANSWER_LIMIT:
            raise RegistryError(f"registry `{location}`: the answer is too long")
    return body


def _refusal(
    location: RegistryLocation, request: AdminRequest, status: int, body: bytes
) -> SkillpmError:
    try:
        plain = json.parse_object(body, "the answer")
    except SpecError:
        plain = {}
    detail, hint = plain.get("detail"), plain.get("hint")
    shown = capped(detail, _SHOWN) if isinstance(detail, str) else f"HTTP status {status}"
    message = f"registry `{location}`: cannot {request.action}: {shown}"
    family = RegistryError if status >= _SERVER_ERROR else _FAMILIES.get(status, StateError)
    return family(message, hint=capped(hint, _SHOWN) if isinstance(hint, str) else None)
