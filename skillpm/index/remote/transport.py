"""HTTP requests to one registry: credentials, redirects, retries and limits."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from socket import SHUT_RDWR
from urllib.parse import urljoin

from skillpm.errors import SpecError
from skillpm.index.credentials import Credentials
from skillpm.index.remote.bodies import BodyLimitError, read_body
from skillpm.index.remote.connecting import make_client, translated
from skillpm.index.remote.errors import (
    BadReplyError,
    Problem,
    RefusedRequestError,
    SlowAnswerError,
    SlowRetrievalError,
    TransientError,
    UnreachableRegistryError,
    refusal,
)
from skillpm.index.remote.library import httpx
from skillpm.index.remote.retry import RetryPolicy, is_transient, retry_after
from skillpm.index.remote.streams import PacedStream
from skillpm.spec.faults import describe_value
from skillpm.spec.location import RegistryLocation
from skillpm.spec.origin import WebOrigin

ANSWER_LIMIT = 1 << 20
"""Bytes of an answer of the service, and of a problem document."""
REDIRECT_LIMIT = 5
_FAILURE = 400


@dataclass(frozen=True)
class Call:
    """A request. `action` completes "cannot …" in errors; `limit` is the most bytes of the body.

    `timeout` is for how many seconds the registry may think before it answers. A transfer of a blob
    is tried more often.
    """

    method: str
    url: str
    action: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    limit: int = ANSWER_LIMIT
    timeout: float | None = None
    is_transfer: bool = False


@dataclass(frozen=True)
class Reply:
    """A response with its whole body. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> Problem:
        """The body as a problem document."""
        return Problem.parse(self.body, self.headers)


class Transport:
    """Sends requests for one registry, from any thread.

    The credentials of its location go to `origin` only: neither to another origin that the registry
    names, nor to one that a redirect leads to.
    """

    def __init__(
        self,
        location: RegistryLocation,
        credentials: Credentials,
        policy: RetryPolicy | None = None,
    ) -> None:
        self.location = location
        self.origin = WebOrigin.of(location.public())
        self.policy = policy or RetryPolicy()
        self.credentials = credentials
        self._answered = False
        self._closed = threading.Event()
        self._guard = threading.Lock()
        self._active: set[httpx.Response] = set()
        self._clients: dict[str, httpx.Client] = {}

    @cached_property
    def authorization(self) -> str | None:
        """The value of the header of that name, read when the first request is sent."""
        return self.credentials.authorization(self.location)

    def close(self) -> None:
        """Close all connections. Requests of other threads end soon, with an error."""
        self._closed.set()
        for response in tuple(self._active):
            stream = response.extensions.get("network_stream")
            connected = stream.get_extra_info("socket") if stream is not None else None
            if connected is not None:
                with suppress(OSError):
                    connected.shutdown(SHUT_RDWR)  # `close` alone would not wake a reading thread
        for client in self._clients.values():
            client.close()

    def send(self, call: Call) -> Reply:
        """Send a request, and again after passing failures; any other status is returned.

        Raises `UnreachableRegistryError`, and `BadReplyError` for an answer beyond its limits.
        """
        failures = 0
        while True:
            try:
                return self.send_once(call)
            except TransientError as problem:
                failures += 1
                self.pause(failures, problem, is_transfer=call.is_transfer)

    def ask(self, call: Call) -> Reply:
        """Like `send`, but raises the error of a refused request."""
        reply = self.send(call)
        if reply.status >= _FAILURE:
            raise self.refusal(call.action, reply.status, reply.problem)
        return reply

    def refusal(self, action: str, status: int, problem: Problem) -> Exception:
        """The error for a refused request."""
        authorized = self.authorization is not None
        hint = self.credentials.hint(self.location, authorized=authorized)
        hint = problem.hint or hint if authorized else hint
        return refusal(self.origin, action, status, problem, hint)

    def pause(self, failures: int, problem: TransientError, *, is_transfer: bool) -> None:
        """Wait before the next try.

        After the last one, raises `UnreachableRegistryError`, or `SlowRetrievalError`.
        """
        tries = self.policy.transfer_tries if is_transfer else self.policy.tries
        tries = tries if self._answered else self.policy.first_tries
        if isinstance(problem, SlowAnswerError):
            tries = min(tries, self.policy.slow_tries)
        seconds = self.policy.wait_after(failures, problem)
        if seconds is None:
            wait = f"{problem.reason}; it asks to wait {problem.wait:.0f} seconds"
            raise UnreachableRegistryError(self.origin, wait, hint="try again later")
        if failures >= tries and isinstance(problem, SlowAnswerError):
            raise SlowRetrievalError(self.origin, problem.reason) from problem
        if failures >= tries or self._closed.wait(seconds):
            raise UnreachableRegistryError(self.origin, problem.reason) from problem

    def send_once(self, call: Call) -> Reply:
        """Like `send`, but raises `TransientError` after a passing failure."""
        with self.open(call) as response:
            headers = response.headers
            try:
                body = read_body(response.iter_raw(), headers, call.limit)
            except BodyLimitError as problem:
                raise BadReplyError(self.origin, call.action, str(problem)) from problem
            return Reply(response.status_code, headers, body)

    @contextmanager
    def open(self, call: Call) -> Iterator[httpx.Response]:
        """Send a request once; the body is read in the block.

        Raises `TransientError` for failures that may pass, also those that occur in the block.
        """
        try:
            response = self._follow(call)
            self._active.add(response)
            try:
                self._answered = True
                if is_transient(response.status_code):
                    raise _busy(response)
                yield response
            finally:
                self._active.discard(response)
                response.close()
        except httpx.TransportError as problem:
            raise translated(self.origin, problem) from problem

    def _follow(self, call: Call) -> httpx.Response:
        """Send a request, and follow redirects of reading requests."""
        url, at_home = call.url, True
        for _ in range(REDIRECT_LIMIT + 1):
            origin = WebOrigin.of(url)
            at_home = at_home and origin == self.origin
            response = self._one(call, url, authorized=at_home)
            if not response.has_redirect_location:
                return response
            response.close()
            url = self._redirected(call, url, response.headers.get("location", ""))
        raise BadReplyError(self.origin, call.action, f"more than {REDIRECT_LIMIT} redirects")

    def _one(self, call: Call, url: str, *, authorized: bool) -> httpx.Response:
        if self._closed.is_set():
            raise UnreachableRegistryError(self.origin, "the command was interrupted")
        client = self._client(WebOrigin.of(url).scheme)
        headers = dict(call.headers)
        if authorized and self.authorization is not None:
            headers["authorization"] = self.authorization
        try:
            request = client.build_request(
                call.method,
                url,
                headers=headers,
                content=call.content or None,
                timeout=self._timeout(call.timeout),
            )
            response = client.send(request, stream=True)
        except httpx.InvalidURL as problem:  # also that of a redirect, which httpx parses
            text = f"redirect to an invalid URL: {problem}"
            raise BadReplyError(self.origin, call.action, text) from problem
        stream = response.extensions.get("network_stream")
        if isinstance(stream, PacedStream):
            stream.begin_body()
        return response

    def _redirected(self, call: Call, url: str, location: str) -> str:
        if call.method not in ("GET", "HEAD"):
            raise RefusedRequestError(
                f"registry `{self.origin}`: cannot {call.action}: it redirects to another URL",
                hint="use the URL that the registry names in its config.json: `--registry URL`",
            )
        try:
            target = urljoin(url, location)
            origin = WebOrigin.of(target)
        except (SpecError, ValueError) as problem:
            shown = describe_value(location)
            raise BadReplyError(self.origin, call.action, f"redirect to {shown}") from problem
        if WebOrigin.of(url).scheme == "https" and origin.scheme != "https":
            raise BadReplyError(self.origin, call.action, f"redirect from https to `{origin}`")
        return target.partition("#")[0]

    def _client(self, scheme: str) -> httpx.Client:
        """The client for a scheme."""
        with self._guard:
            if scheme not in self._clients:
                self._clients[scheme] = make_client(scheme, self.policy)
            return self._clients[scheme]

    def _timeout(self, read: float | None) -> httpx.Timeout:
        policy = self.policy
        seconds = policy.read_timeout
        return httpx.Timeout(seconds, read=read or seconds, connect=policy.connect_timeout)


def _busy(response: httpx.Response) -> TransientError:
    """The error for an answer that may be another one later, with the server's explanation."""
    detail = ""
    with suppress(BodyLimitError, TransientError, httpx.TransportError):
        body = read_body(response.iter_raw(), response.headers, ANSWER_LIMIT)
        detail = Problem.parse(body, response.headers).detail
    status = f"it answers with HTTP status {response.status_code}"
    wait = retry_after(response.headers.get("retry-after"))
    return TransientError(f"{status}: {detail}" if detail else status, wait)
