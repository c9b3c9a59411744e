"""Requests and responses of a registry's service, below `/v1`.

Requests refuse unknown keys, because an ignored key could widen a right. Responses may gain keys.
Times are UTC in the form `2026-01-31T12:00:00Z`.

`POST /v1/releases` has no model: its body is the OCI manifest of the pack, whose blobs must be
present. `PATCH /v1/uploads/ID` has the bytes of a chunk as body, and their offset in the header
`Upload-Offset`.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from skillpm.spec.fields import (
    DigestField,
    Document,
    SkillNameField,
    VersionField,
    empty_dict,
    empty_list,
)
from skillpm.spec.manifest_parts import Count
from skillpm.spec.served import NamespaceField, Position, ReleaseState

IMAGE_LIMIT = 4 << 20
"""Bytes of the OCI manifest of a pack that a service accepts."""
CHUNK_LIMIT = 8 << 20
"""Bytes of one chunk of an upload."""
OFFSET = "Upload-Offset"
PROBLEM_TYPE = "application/problem+json"
REASON_LIMIT = 1000
Reason = Annotated[str, Field(max_length=REASON_LIMIT)]
Size = Annotated[int, Field(ge=0, lt=2**53)]


class ApiRequest(Document):
    """The base class of bodies that clients send: unknown keys are an error."""

    model_config = ConfigDict(extra="forbid")


class ProblemDocument(Document):
    """An error, by RFC 9457. `kind` is that of `skillpm.errors`, `hint` says what to do.

    `offset` is where an upload continues, if a chunk had another offset. `retry` says that the same
    request may succeed later.
    """

    type: str = "about:blank"
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    kind: str
    hint: str | None = None
    instance: str | None = None
    offset: Count | None = None
    retry: bool = False


class UploadRequest(ApiRequest):
    """`POST /v1/uploads`: begin to upload a blob for releases of a namespace."""

    digest: DigestField
    size: Size
    namespace: NamespaceField


class UploadDocument(Document):
    """The state of an upload.

    A blob that is `present` needs no upload, and has no `id`. `offset` counts the bytes that are
    durable; the next chunk begins there.
    """

    state: Literal["present", "open"]
    digest: DigestField
    size: Size
    id: str | None = None
    offset: Size = 0
    chunk_bytes: Size = 1 << 20
    expires: str | None = None


class ReleaseDocument(Document):
    """A release after it was published or changed its state.

    `created` is false if the same release was published before. `position` is its place in the log;
    `None` means that it is queued, because the sequencer is not running.
    """

    skill: SkillNameField
    version: VersionField
    digest: DigestField
    state: ReleaseState = "live"
    reason: str = ""
    created: bool = False
    position: Position | None = None


class ReasonRequest(ApiRequest):
    """`POST /v1/releases/NAMESPACE/NAME/VERSION/yank` and `…/quarantine`."""

    reason: Reason = ""


class FoundSkill(Document):
    """A skill that a search found, by its newest release."""

    skill: SkillNameField
    version: VersionField
    digest: DigestField
    base: DigestField
    summary: str
    license: str | None = None
    capabilities: list[str] = Field(default_factory=empty_list)
    size: Size = 0


class SearchPage(Document):
    """`GET /v1/search?q=…`. `next` is the value of `after` for the following page."""

    results: list[FoundSkill]
    next: str | None = None


class EventDocument(Document):
    """A write, as the log of events lists it. Positions have no gaps.

    `subject` is a skill, or what else was changed: a principal, the identifier of a token.
    """

    position: Count
    kind: str
    time: str
    principal: str | None = None
    namespace: str | None = None
    subject: str
    version: str | None = None
    digest: str | None = None
    detail: dict[str, Any] = Field(default_factory=empty_dict)


class EventPage(Document):
    """`GET /v1/events?after=…`: the events from this position on.

    `next` is the value of `after` for the following page.
    """

    events: list[EventDocument]
    next: Count


class AdvisoryResult(Document):
    """An advisory after it was published or withdrawn. `changed` is false if it was so before."""

    advisory: dict[str, Any]
    changed: bool


class SweepDocument(Document):
    """What `POST /v1/sweep` removed: blobs that no release needs, and uploads that ended."""

    blobs: Count
    bytes: Count
    uploads: Count
