"""The OpenAPI document, generated from the table of endpoints and the models."""

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from skillpm.spec.fields import Document
from skillpm.spec.registry_api import PROBLEM_TYPE, ProblemDocument
from skillpm.version import __version__
from skillpm_registry.app.endpoint import PATH, ServiceEndpoint
from skillpm_registry.app.replies import JSON

_REFERENCE = "#/components/schemas/{model}"
_ANYWHERE = (400, 401, 403, 404, 429, 503)
"""Statuses that every endpoint but health and metrics may answer with."""
_WITH_BODY = (408, 413, 415)


def openapi(endpoints: Sequence[ServiceEndpoint], url: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these endpoints, served at `url`."""
    bodies = {entry.body for entry in endpoints if isinstance(entry.body, type)}
    replies = {entry.reply for entry in endpoints if isinstance(entry.reply, type)}
    models = [(model, "validation") for model in bodies] + [
        (model, "serialization") for model in (*replies, ProblemDocument)
    ]
    references, schemas = models_json_schema(
        sorted(models, key=lambda entry: entry[0].__name__),  # type: ignore[arg-type]
        ref_template=_REFERENCE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for entry in endpoints:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "skillpm registry", "version": __version__},
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(entry: ServiceEndpoint, references: Any) -> dict[str, Any]:
    names = [part.partition("}")[0] for part in entry.path.split("{")[1:]]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": PATH[name]} for name in names
    ]
    for place, found, required in (("query", entry.query, False), ("header", entry.header, True)):
        parameters += [
            {"name": name, "in": place, "required": required, "schema": schema}
            for name, schema in found.items()
        ]
    operation: dict[str, Any] = {
        "operationId": entry.name,
        "summary": entry.summary,
        "parameters": parameters,
        "responses": _responses(entry, references),
    }
    if entry.body is not None:
        content = _content(entry.body, references, "validation")
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(entry: ServiceEndpoint, references: Any) -> dict[str, Any]:
    success: dict[str, Any] = {"description": entry.summary}
    if entry.status != 204:  # noqa: PLR2004 - no content
        success["content"] = _content(entry.reply, references, "serialization")
    responses: dict[str, Any] = {str(entry.status): success}
    if entry.status == 201:  # noqa: PLR2004 - created, or there before
        responses["200"] = {**success, "description": "It was there before"}
    if entry.path == "/v1/releases" or entry.path.startswith("/v1/releases/"):
        responses["202"] = {**success, "description": "Queued: the sequencer is not running"}
    if entry.path.startswith(("/index", "/blobs", "/config", "/advisories")):
        responses["304"] = {"description": "The client has it"}
    if entry.path.startswith("/blobs"):
        responses |= {
            "206": {**success, "description": "A range"},
            "307": {"description": "A URL that is valid for ten minutes"},
            "416": {"description": "No such range"},
        }
    statuses = {*_ANYWHERE, *entry.errors, *(_WITH_BODY if entry.body else ())}
    problem = _content(ProblemDocument, references, "serialization", PROBLEM_TYPE)
    for status in sorted(statuses if entry.limit != "none" else {503}):
        responses[str(status)] = {"description": "A problem (RFC 9457)", "content": problem}
    return responses


def _content(
    kind: type[Document] | str, references: Any, mode: str, media_type: str = JSON
) -> dict[str, Any]:
    if isinstance(kind, str):
        is_json = kind.endswith("json")
        schema = {"type": "object"} if is_json else {"type": "string", "format": "binary"}
        return {kind: {"schema": schema}}
    return {media_type: {"schema": references[(kind, mode)]}}
