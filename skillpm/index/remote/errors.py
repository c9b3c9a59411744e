"""Errors of registries over HTTP, and the translation of a server's refusals (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import dataclass

from skillpm.errors import (
    AuthError,
    IntegrityError,
    NotFoundError,
    RegistryError,
    SkillpmError,
    SpecError,
    StateError,
    capped,
)
from skillpm.spec import json
from skillpm.spec.origin import WebOrigin

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE = 401, 403, 404, 409, 410
NOT_ALLOWED = 405
_DETAIL_LIMIT = 400


class TransientError(Exception):
    """A request failed in a way that may pass. `wait` is the pause that the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class SlowAnswerError(TransientError):
    """A server sends less than the least speed."""


class UnreachableRegistryError(RegistryError):
    """A registry does not answer, or answers only with errors of its own."""

    def __init__(self, origin: WebOrigin, reason: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"registry `{origin}` cannot be reached: {reason}",
            hint=hint or "check the URL and the network; `--offline` uses only what is stored",
        )


class SlowRetrievalError(IntegrityError):
    """A registry answers, but sends too slowly in each of several tries."""

    def __init__(self, origin: WebOrigin, reason: str) -> None:
        super().__init__(
            f"registry `{origin}` sends too slowly: {reason}; this is a bad connection or a slow "
            "retrieval attack, which keeps a client from updates by never ending an answer",
            hint="check the network, or name another registry: `--registry URL`; `--offline` uses "
            "only what is stored",
        )


class BadReplyError(IntegrityError):
    """A registry's answer breaks a limit, or contradicts itself."""

    def __init__(self, origin: WebOrigin, what: str, problem: str) -> None:
        super().__init__(f"registry `{origin}`, {what}: {problem}")


class UnreadableReplyError(RegistryError):
    """A document of a registry is malformed."""

    def __init__(self, origin: WebOrigin, what: str, problem: SpecError) -> None:
        super().__init__(
            f"registry `{origin}` cannot be read: {what}: {problem.message}",
            hint=problem.hint or "check that the URL is that of a skillpm registry",
        )


class RefusedRequestError(RegistryError):
    """A registry refuses a request. Retrying does not help."""

    exit_code = 1


class ReadOnlyRegistryError(RegistryError):
    """A registry of static files has no service that could carry out the request."""

    exit_code = 1

    def __init__(self, origin: WebOrigin, action: str) -> None:
        super().__init__(
            f"registry `{origin}` serves static files only, so it cannot {action}",
            hint="use the registry from which these files were exported: `--registry URL`",
        )


@dataclass(frozen=True)
class Problem:
    """The parts of a problem document that skillpm reads. All text is untrusted.

    The hint says that it is the registry's: it may ask for any command.
    """

    detail: str = ""
    kind: str = ""
    hint: str | None = None
    offset: int | None = None

    @classmethod
    def parse(cls, body: bytes, headers: Mapping[str, str]) -> "Problem":
        """Read a problem document; any other body is an empty problem."""
        if "json" not in headers.get("content-type", ""):
            return cls()
        try:
            plain = json.parse_object(body, "the answer")
        except SkillpmError:
            return cls()
        detail, kind, hint = plain.get("detail"), plain.get("kind"), plain.get("hint")
        offset = plain.get("offset")
        return cls(
            capped(detail, _DETAIL_LIMIT) if isinstance(detail, str) else "",
            kind if isinstance(kind, str) else "",
            f"the registry says: {capped(hint, _DETAIL_LIMIT)}" if isinstance(hint, str) else None,
            offset if type(offset) is int and offset >= 0 else None,
        )


_BY_KIND: Mapping[str, type[SkillpmError]] = {
    "auth": AuthError,
    "integrity": IntegrityError,
    "not_found": NotFoundError,
    "spec": SpecError,
    "state": StateError,
}


def refusal(
    origin: WebOrigin, action: str, status: int, problem: Problem, login_hint: str
) -> SkillpmError:
    """The error for a refused request. `action` completes "cannot …".

    `login_hint` is for a request whose credentials were missing or refused.
    """
    detail = problem.detail or f"HTTP status {status}"
    message = f"registry `{origin}`: cannot {action}: {detail}"
    if status in (UNAUTHORIZED, FORBIDDEN):
        return AuthError(message, hint=login_hint)
    if status in (NOT_FOUND, GONE):
        return NotFoundError(message, hint=problem.hint)
    if status == CONFLICT:
        return RefusedRequestError(message, hint=problem.hint)
    return _BY_KIND.get(problem.kind, RefusedRequestError)(message, hint=problem.hint)
