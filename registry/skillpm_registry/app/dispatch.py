"""From a request to an endpoint and back: limits, body, caller, and errors as problems."""

import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address, ip_network

import anyio
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import Response

from skillpm.errors import SkillpmError
from skillpm.spec import json
from skillpm.spec.fields import read_document
from skillpm.spec.registry_api import PROBLEM_TYPE
from skillpm_registry.app.access.rights import ANYBODY, Caller
from skillpm_registry.app.bodies import BodyMemory, announced_size, read_body
from skillpm_registry.app.endpoint import ServiceEndpoint
from skillpm_registry.app.limits import Allowance, RateLimit
from skillpm_registry.app.logs import log
from skillpm_registry.app.problems import HttpError, TooManyRequestsError, refusal_of
from skillpm_registry.app.replies import JSON, NO_STORE, ServiceReply
from skillpm_registry.app.service import Service, ServiceCall, now_in_utc

READERS, WRITERS = 16, 64
"""Threads of requests that read, and of those that write, which may wait for the sequencer."""
CONTEXT = "skillpm"
"""The key of what a request's log line says, in the ASGI scope."""


@dataclass
class Dispatcher:
    """Answers requests for one service. Belongs to one event loop."""

    service: Service

    def __post_init__(self) -> None:
        self._memory = BodyMemory(self.service.config.limits.body_memory)
        self._readers, self._writers = CapacityLimiter(READERS), CapacityLimiter(WRITERS)
        self._tree_is_local = "://" not in self.service.config.static
        self._proxies = [ip_network(text) for text in self.service.config.trusted_proxies]

    async def answer(self, entry: ServiceEndpoint, request: Request) -> Response:
        """Answer a request for an endpoint."""
        context = request.scope[CONTEXT]
        context["route"] = entry.path
        limit = self.service.limits.get(entry.limit)
        client = self.client_of(request)
        allowance = None if limit is None else limit.take(client, time.monotonic())
        try:
            if limit is not None and allowance is not None and not allowance.allowed:
                self.service.metrics.limited.labels(limit.name).inc()
                raise TooManyRequestsError(allowance.reset)
            response = (await self._answer(entry, request)).response()
        except Exception as problem:  # noqa: BLE001 - every failure becomes a problem document
            response = problem_response(problem, context["request_id"])
        if limit is not None and allowance is not None:
            self._finish(limit, client, allowance, response)
        return response

    def _finish(
        self, limit: RateLimit, client: str, allowance: Allowance, response: Response
    ) -> None:
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            limit.give_back(client, time.monotonic())
        response.headers.update(limit.headers(allowance))

    async def _answer(self, entry: ServiceEndpoint, request: Request) -> ServiceReply:
        if entry.quick is not None and self._tree_is_local:
            quick = entry.quick(self._call(request, ANYBODY, now_in_utc()))
            if quick is not None:
                return quick
        async with self._memory.reserved(announced_size(request, _limit_of(self.service, entry))):
            body = await read_body(
                request, _limit_of(self.service, entry), slowest=self.service.config.limits.slowest
            )
            limiter = self._readers if entry.limit in ("reads", "none") else self._writers
            work = partial(self._run, entry, request, body)
            return await anyio.to_thread.run_sync(work, limiter=limiter)

    def _run(self, entry: ServiceEndpoint, request: Request, body: bytes) -> ServiceReply:
        """Authenticate and answer, in a thread."""
        now = now_in_utc()
        document = _document(entry, request, body)
        authorization = request.headers.get("authorization")
        caller = self.service.people.gate.caller(authorization, now)
        request.scope[CONTEXT]["principal"] = caller.name
        if caller.grant is not None:
            request.scope[CONTEXT]["token"] = caller.grant.id
        return entry.run(self._call(request, caller, now, body, document))

    def _call(
        self,
        request: Request,
        caller: Caller,
        now: datetime,
        body: bytes = b"",
        document: object = None,
    ) -> ServiceCall:
        return ServiceCall(
            service=self.service, caller=caller, now=now, path=dict(request.path_params),
            query=dict(request.query_params), headers=request.headers, body=body,
            document=document,
        )  # fmt: skip

    def client_of(self, request: Request) -> str:
        """The address of the client. A trusted proxy names it in `X-Forwarded-For`."""
        peer = request.client.host if request.client else "unknown"
        if not self._is_proxy(peer):
            return peer
        forwarded = request.headers.get("x-forwarded-for", "").split(",")
        for text in reversed(forwarded[-8:]):
            address = text.strip()
            if address and not self._is_proxy(address):
                return address[:64]
        return peer

    def _is_proxy(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


def _limit_of(service: Service, entry: ServiceEndpoint) -> int:
    """The largest body of an endpoint; none if it takes no body."""
    if entry.body is None:
        return 0
    is_chunk = entry.body == "application/octet-stream"
    return min(entry.size, service.config.limits.chunk_bytes) if is_chunk else entry.size


def _document(entry: ServiceEndpoint, request: Request, body: bytes) -> object:
    if entry.body is None or isinstance(entry.body, str):
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected a body of type `{JSON}`")
    what = "the request"
    return read_document(entry.body, json.parse_object(body, what), what)


def problem_response(problem: Exception, request_id: str) -> Response:
    """The response for an error. Errors of the server are logged."""
    refusal = refusal_of(problem, request_id)
    status = refusal.document.status
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        shown = problem.message if isinstance(problem, SkillpmError) else type(problem).__name__
        fields = {"request_id": request_id, "status": status, "reason": shown}
        log("error", "failed", fields, problem)
    headers = {**NO_STORE, "x-content-type-options": "nosniff", **refusal.headers}
    return Response(refusal.body, status, headers, PROBLEM_TYPE)
