"""Answers of a registry's service."""

from typing import TypeVar

from skillpm.errors import SpecError
from skillpm.index.remote.errors import UnreadableReplyError
from skillpm.index.remote.transport import Call, Reply, Transport
from skillpm.spec import json
from skillpm.spec.fields import Document, read_document

JSON_TYPE = "application/json"
_FAILURE = 400
AnyDocument = TypeVar("AnyDocument", bound=Document)


def check_answer(call: Call, reply: Reply, transport: Transport) -> None:
    """Raise the error of a refused request."""
    if reply.status >= _FAILURE:
        raise transport.refusal(call.action, reply.status, reply.problem)


def read_answer(kind: type[AnyDocument], reply: Reply, transport: Transport) -> AnyDocument:
    """The document in the body of an answer. Raises `UnreadableReplyError`."""
    what = "an answer of its service"
    try:
        return read_document(kind, json.parse_object(reply.body, what), what)
    except SpecError as problem:
        raise UnreadableReplyError(transport.origin, what, problem) from problem
