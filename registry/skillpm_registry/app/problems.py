"""Errors as problem documents (RFC 9457). A 5xx never shows what the server knows of itself."""

from dataclasses import dataclass
from http import HTTPStatus

from skillpm.errors import (
    AuthError,
    IntegrityError,
    NotFoundError,
    RegistryError,
    ResolutionError,
    SkillpmError,
    SpecError,
    StateError,
    UsageError,
)
from skillpm.spec.registry_api import ProblemDocument
from skillpm_registry.errors import (
    RegistryBusyError,
    RegistryFullError,
    RegistryReadOnlyError,
    UnknownAdvisoryError,
    UnknownAffectedError,
    UnknownReleaseError,
)
from skillpm_registry.refusals import BlobBusyError, QuotaExceededError, UploadOffsetError

_UNAVAILABLE = (RegistryError, RegistryBusyError, RegistryReadOnlyError)
_RETRY = 1
"""Seconds after which a client repeats a request that failed for a reason that passes."""


class HttpError(SkillpmError):
    """A request that the service refuses with this status."""

    kind = "usage"

    def __init__(
        self, status: int, message: str, *, kind: str = "usage", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.word = kind


class UnauthorizedError(AuthError):
    """A request without a valid token, for what needs one."""


class ForbiddenError(AuthError):
    """A token that does not have the right that a request needs."""


class TooManyRequestsError(SkillpmError):
    """A client sends requests faster than its limit. `wait` is in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__("too many requests", hint=f"wait {wait:.0f} seconds")
        self.wait = wait


class OverloadedError(SkillpmError):
    """The service has no memory for another body now."""

    def __init__(self) -> None:
        super().__init__("the service is handling too many uploads", hint="try again in a moment")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem document with the headers that belong to it."""

    document: ProblemDocument
    headers: dict[str, str]

    @property
    def body(self) -> bytes:
        """The document as JSON."""
        return self.document.model_dump_json(exclude_none=True).encode()


def refusal_of(problem: Exception, request_id: str) -> Refusal:
    """The problem document for an error. Unexpected errors are a 500 without details."""
    status, kind, retry = _classified(problem)
    headers: dict[str, str] = {}
    if isinstance(problem, TooManyRequestsError):
        headers["retry-after"] = str(max(1, round(problem.wait + 0.5)))
    elif retry:
        headers["retry-after"] = str(_RETRY)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="skillpm"'
    shown = _shown(problem, status)
    document = ProblemDocument(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=shown[0],
        hint=shown[1],
        kind=kind,
        instance=f"urn:skillpm:request:{request_id}",
        offset=problem.expected if isinstance(problem, UploadOffsetError) else None,
        retry=retry,
    )
    return Refusal(document, headers)


_STATUSES: tuple[tuple[tuple[type[Exception], ...], HTTPStatus, str, bool], ...] = (
    ((TooManyRequestsError,), HTTPStatus.TOO_MANY_REQUESTS, "registry", True),
    ((OverloadedError, BlobBusyError), HTTPStatus.SERVICE_UNAVAILABLE, "registry", True),
    ((UnauthorizedError,), HTTPStatus.UNAUTHORIZED, "auth", False),
    ((AuthError,), HTTPStatus.FORBIDDEN, "auth", False),
    ((QuotaExceededError,), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "state", False),
    ((RegistryFullError,), HTTPStatus.INSUFFICIENT_STORAGE, "registry", True),
    (_UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE, "registry", True),
    ((SpecError,), HTTPStatus.BAD_REQUEST, "spec", False),
    ((UsageError,), HTTPStatus.BAD_REQUEST, "usage", False),
    ((NotFoundError,), HTTPStatus.NOT_FOUND, "not_found", False),
    ((IntegrityError,), HTTPStatus.UNPROCESSABLE_ENTITY, "integrity", False),
    ((StateError, ResolutionError), HTTPStatus.CONFLICT, "registry", False),
)
"""The answers to families of errors, the first match first: status, kind, whether to retry."""


def _classified(problem: Exception) -> tuple[int, str, bool]:
    """The status, the kind, and whether the same request may succeed later."""
    if isinstance(problem, HttpError):
        return problem.status, problem.word, False
    for families, status, kind, retry in _STATUSES:
        if isinstance(problem, families):
            return status, kind, retry
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal", False


_GENERAL = {
    HTTPStatus.INSUFFICIENT_STORAGE: "the registry's disk is full",
    HTTPStatus.SERVICE_UNAVAILABLE: "the registry's database or its blobs cannot be reached",
    HTTPStatus.INTERNAL_SERVER_ERROR: "an internal error; the registry's log has its cause",
}
_SAFE = (TooManyRequestsError, OverloadedError, BlobBusyError)


def _shown(problem: Exception, status: int) -> tuple[str, str | None]:
    """The detail and the hint, without paths and addresses of the server."""
    if isinstance(problem, UnknownReleaseError):
        return f"`{problem.skill}` {problem.version} is not in this registry", problem.hint
    if isinstance(problem, UnknownAdvisoryError):
        return f"there is no advisory `{problem.identifier}` in this registry", None
    if isinstance(problem, UnknownAffectedError):
        return "the advisory affects no skill, or one that is not in this registry", None
    if not isinstance(problem, SkillpmError) or not isinstance(problem, _SAFE):
        general = _GENERAL.get(HTTPStatus(status))
        if general is not None:
            return general, None
    if isinstance(problem, SkillpmError):
        return problem.message, problem.hint
    raise AssertionError from problem
