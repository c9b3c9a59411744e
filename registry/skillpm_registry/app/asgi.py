"""The ASGI application: routes, lifespan, request ids, logs and metrics."""

import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skillpm_registry.app.dispatch import CONTEXT, Dispatcher, problem_response
from skillpm_registry.app.endpoint import ServiceEndpoint
from skillpm_registry.app.logs import log
from skillpm_registry.app.metrics import Metrics
from skillpm_registry.app.openapi import openapi
from skillpm_registry.app.problems import HttpError
from skillpm_registry.app.service import Service
from skillpm_registry.app.table import ENDPOINTS

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_UNKNOWN = "unknown"
_METHODS = {"HEAD": "GET"}


class Observed:
    """Gives each request an id, and counts and logs its answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request. The log line has no query, no header and no body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = {"request_id": _request_id(scope), "route": _UNKNOWN}
        scope[CONTEXT] = context
        status, start = int(HTTPStatus.INTERNAL_SERVER_ERROR), time.perf_counter()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                name = (b"x-request-id", context["request_id"].encode())
                message = {**message, "headers": [*message["headers"], name]}
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, observed)
        finally:
            self._metrics.in_flight.dec()
            seconds = time.perf_counter() - start
            self._metrics.observe(context["route"], scope["method"], status, seconds)
            answered = {"status": status, "ms": round(1000 * seconds, 2)}
            place = {"method": scope["method"], "path": scope["path"][:300]}
            log("info", "request", {**place, **answered, **context})


def _request_id(scope: Scope) -> str:
    """The id that the client or a proxy gave, if it has a plain form; else a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def make_app(service: Service, lifespan: Lifespan | None = None) -> ASGIApp:
    """The application of a service."""
    dispatcher = Dispatcher(service)
    description = json.dumps(openapi(ENDPOINTS, service.config.url)).encode()

    async def describe(request: Request) -> Response:
        request.scope[CONTEXT]["route"] = request.url.path
        return Response(description, media_type="application/json")

    by_path: dict[str, dict[str, ServiceEndpoint]] = {}
    for entry in ENDPOINTS:
        by_path.setdefault(entry.path, {})[entry.method] = entry
    routes = [
        Route(path, _by_method(dispatcher, methods), methods=list(methods))
        for path, methods in by_path.items()
    ]
    routes.append(Route("/openapi.json", describe))
    handlers: Mapping[type[Exception], Callable[[Request, Exception], Response]] = {
        HTTPException: _refused
    }
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Observed(app, service.metrics)


def _by_method(
    dispatcher: Dispatcher, methods: Mapping[str, ServiceEndpoint]
) -> Callable[[Request], Awaitable[Response]]:
    """The function that answers all methods of one path. HEAD is answered like GET."""

    async def answer(request: Request) -> Response:
        return await dispatcher.answer(
            methods[_METHODS.get(request.method, request.method)], request
        )

    return answer


def _refused(request: Request, problem: Exception) -> Response:
    """The answer for a path or a method that there is not."""
    if not isinstance(problem, HTTPException):
        raise problem
    kind = "not_found" if problem.status_code == HTTPStatus.NOT_FOUND else "usage"
    text = "there is no such page" if kind == "not_found" else "the method is not allowed here"
    refusal = HttpError(problem.status_code, text, kind=kind)
    response = problem_response(refusal, request.scope[CONTEXT]["request_id"])
    response.headers.update(problem.headers or {})
    return response
