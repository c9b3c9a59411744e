"""Administers a registry over HTTP, with a token that has the action `admin`."""

from skillpm.errors import AuthError
from skillpm.index.remote.addresses import base_url
from skillpm.index.remote.answers import JSON_TYPE, check_answer
from skillpm.index.remote.errors import TransientError, UnreachableRegistryError
from skillpm.index.remote.open import RemoteSettings
from skillpm.index.remote.transport import Call, Transport
from skillpm.index.remote_administration import AdminRequest, RemoteAdministration
from skillpm.spec.location import RegistryLocation

ANSWER_LIMIT = 16 << 20
"""Bytes of an answer."""
_TIMEOUT = 600.0
"""Seconds for which the registry may work on a request, such as a sweep."""


def administer_over_http(
    location: RegistryLocation, settings: RemoteSettings
) -> RemoteAdministration:
    """Administer the registry at a URL with `SKILLPM_TOKEN` or the stored token of its origin.

    Raises `AuthError` without a token.
    """
    base, credentials = base_url(location), settings.credentials
    transport = Transport(location, credentials, settings.policy)
    if transport.authorization is None:
        raise AuthError(
            f"registry `{location}` needs a token with the action `admin`",
            hint=credentials.hint(location, authorized=False),
        )

    def ask(request: AdminRequest) -> bytes:
        url, headers = f"{base}{request.path}", {"content-type": JSON_TYPE}
        return _sent(
            transport,
            Call(
                request.method, url, request.action, headers, request.body,
                limit=ANSWER_LIMIT, timeout=_TIMEOUT,
            ),
        )  # fmt: skip

    return RemoteAdministration(ask, transport.close)


def _sent(transport: Transport, call: Call) -> bytes:
    """Send a request. One that writes is not repeated: it could, say, create two tokens."""
    if call.method == "GET":
        return transport.ask(call).body
    try:
        reply = transport.send_once(call)
    except TransientError as problem:
        raise UnreachableRegistryError(transport.origin, problem.reason) from problem
    check_answer(call, reply, transport)
    return reply.body
