"""Health, metrics and garbage collection."""

from http import HTTPStatus

from skillpm.errors import RegistryError
from skillpm.spec.digests import Digest
from skillpm.spec.registry_api import SweepDocument
from skillpm_registry.app.metrics import MEDIA_TYPE
from skillpm_registry.app.problems import HttpError
from skillpm_registry.app.replies import NO_STORE, ServiceReply
from skillpm_registry.app.service import ServiceCall

_ABSENT = Digest.of(b"skillpm readiness")


def health(call: ServiceCall) -> ServiceReply:
    """The process answers. Nothing else is checked."""
    del call
    return ServiceReply(b'{"status":"ok"}', headers=NO_STORE)


def ready(call: ServiceCall) -> ServiceReply:
    """The database and the blobs answer, and the service is not stopping."""
    if call.service.stop.is_set():
        raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping", kind="registry")
    call.service.backend.documents.namespaces()
    if call.service.backend.blobs.size(_ABSENT) is not None:
        raise RegistryError("the store of blobs has a blob that was never stored")
    return ServiceReply(b'{"status":"ready"}', headers=NO_STORE)


def metrics(call: ServiceCall) -> ServiceReply:
    """Counters in Prometheus' text format."""
    return ServiceReply(call.service.metrics.text(), HTTPStatus.OK, MEDIA_TYPE, NO_STORE)


def sweep(call: ServiceCall) -> ServiceReply:
    """Remove blobs that no release needs, and uploads that ended; order search results again."""
    call.service.people.gate.need_rule(call.caller)
    report = call.service.backend.collector.sweep(now=call.now)
    if report.skipped:
        raise HttpError(
            HTTPStatus.CONFLICT, "another sweep is running", kind="registry",
            hint="wait until it ends",
        )  # fmt: skip
    call.service.backend.search.rebuild(now=call.now)
    return ServiceReply(
        SweepDocument(blobs=report.blobs, bytes=report.bytes, uploads=report.uploads)
    )
