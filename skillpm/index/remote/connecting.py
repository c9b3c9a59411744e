"""Clients of httpx for one scheme, and the translation of their errors."""

import re
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import PROTOCOL_TLS_CLIENT, SSLCertVerificationError, SSLContext

from skillpm.errors import UsageError
from skillpm.index.remote.errors import SlowAnswerError, TransientError, UnreachableRegistryError
from skillpm.index.remote.library import httpx
from skillpm.index.remote.retry import RetryPolicy
from skillpm.index.remote.streams import SlowServerError, pace
from skillpm.index.remote.tls import certificate_hint, tls_context
from skillpm.spec.location import redact_urls
from skillpm.spec.origin import WebOrigin
from skillpm.version import __version__

CONNECTIONS = 16
_ERRNO = re.compile(r"\[Errno -?[0-9]+\] ")
"""Numbers of errors, which differ between systems."""
_KINDS: Mapping[type[Exception], str] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "it accepts no data",
    httpx.ReadError: "the connection was cut",
    httpx.RemoteProtocolError: "the connection was cut",
}


def make_client(scheme: str, policy: RetryPolicy) -> httpx.Client:
    """A client with proxies of the usual variables, without cookies and redirects.

    Without HTTPS, no certificates are loaded (30 ms). Raises `UsageError` for proxies and
    certificates that cannot be used.
    """
    trusted = tls_context() if scheme == "https" else SSLContext(PROTOCOL_TLS_CLIENT)
    try:
        client = httpx.Client(
            headers={"user-agent": f"skillpm/{__version__}", "accept-encoding": "identity"},
            limits=httpx.Limits(max_connections=CONNECTIONS),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            verify=trusted,
        )
    except (ValueError, ImportError, httpx.InvalidURL) as problem:
        raise UsageError(
            "a proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used: "
            f"{redact_urls(str(problem))}",
            hint="expected `http://HOST:PORT`; NO_PROXY lists hosts that need no proxy",
        ) from problem
    pace(client, policy)
    return client


def translated(origin: WebOrigin, problem: httpx.TransportError) -> Exception:
    """The error for a failed connection: `TransientError` if another try may help."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, SSLCertVerificationError):
            return UnreachableRegistryError(
                origin,
                f"its certificate is not trusted: {cause.verify_message}",
                hint=certificate_hint(cause),
            )
        if isinstance(cause, SlowServerError):
            return SlowAnswerError(str(cause))
        cause = cause.__cause__ or cause.__context__
    if isinstance(problem, httpx.UnsupportedProtocol | httpx.ProxyError):
        return UnreachableRegistryError(origin, redact_urls(str(problem)))
    reason = _ERRNO.sub("", str(problem)) or type(problem).__name__
    return TransientError(f"{_KINDS.get(type(problem), 'connection failed')}: {reason}")
