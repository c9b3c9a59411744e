"""Uploads of blobs: begun, continued in chunks, finished (contract, section 4.1)."""

from http import HTTPStatus

from skillpm.spec.registry_api import OFFSET, UploadDocument, UploadRequest
from skillpm_registry.app.access.gate import actor_of, need_token
from skillpm_registry.app.problems import HttpError
from skillpm_registry.app.replies import NO_STORE, ServiceReply, time_text
from skillpm_registry.app.service import ServiceCall
from skillpm_registry.publishing.uploads import UploadSession

_DIGITS = 16
"""Digits of the largest offset."""


def begin(call: ServiceCall) -> ServiceReply:
    """Begin an upload, or find the caller's own unfinished one for the same blob."""
    asked = _request(call)
    need_token(call.caller)
    call.service.people.gate.need_upload(call.caller, asked.namespace)
    session = call.service.backend.uploads.begin(
        asked.digest, asked.size, asked.namespace, actor_of(call.caller), now=call.now
    )
    if session is None:
        document = UploadDocument(state="present", digest=asked.digest, size=asked.size)
        return ServiceReply(document)
    return ServiceReply(_open(call, session), HTTPStatus.CREATED)


def find(call: ServiceCall) -> ServiceReply:
    """The state of an upload: where the next chunk begins."""
    need_token(call.caller)
    session = call.service.backend.uploads.find(call.path["upload"], actor_of(call.caller))
    return ServiceReply(_open(call, session))


def append(call: ServiceCall) -> ServiceReply:
    """Store a chunk. The answer is sent when the bytes are durable."""
    need_token(call.caller)
    text = call.headers.get(OFFSET.lower(), "")
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise HttpError(HTTPStatus.BAD_REQUEST, f"the header `{OFFSET}` is not a number of bytes")
    if not call.body:
        raise HttpError(HTTPStatus.BAD_REQUEST, "the chunk is empty")
    session = call.service.backend.uploads.append(
        call.path["upload"], int(text), call.body, actor_of(call.caller), now=call.now
    )
    call.service.metrics.received.inc(len(call.body))
    return ServiceReply(_open(call, session))


def finish(call: ServiceCall) -> ServiceReply:
    """Make an upload a blob, if all its bytes are there and have the digest."""
    need_token(call.caller)
    uploads, actor = call.service.backend.uploads, actor_of(call.caller)
    session = uploads.finish(call.path["upload"], actor, now=call.now)
    return ServiceReply(
        UploadDocument(
            state="present", digest=session.digest, size=session.size, offset=session.size
        )
    )


def abort(call: ServiceCall) -> ServiceReply:
    """End an upload, and remove its bytes."""
    need_token(call.caller)
    call.service.backend.uploads.abort(call.path["upload"], actor_of(call.caller))
    return ServiceReply(b"", HTTPStatus.NO_CONTENT, headers=NO_STORE)


def _request(call: ServiceCall) -> UploadRequest:
    assert isinstance(call.document, UploadRequest)  # noqa: S101 - by the table of endpoints
    return call.document


def _open(call: ServiceCall, session: UploadSession) -> UploadDocument:
    return UploadDocument(
        state="open",
        digest=session.digest,
        size=session.size,
        id=session.id,
        offset=session.received,
        chunk_bytes=call.service.config.limits.chunk_bytes,
        expires=time_text(session.expires_at),
    )
