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
    NUMBER,
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
DAY = 86_400.0
EXPIRY_LIMIT = 90 * DAY
"""Seconds for which a token may be valid."""
PATTERN_LIMIT = 100
Action = Literal["read", "publish", "publish-new", "yank", "admin"]
ACTIONS: tuple[Action, ...] = ("read", "publish", "publish-new", "yank", "admin")
Role = Literal["owner", "maintainer", "publisher", "reader"]
ROLES: tuple[Role, ...] = ("owner", "maintainer", "publisher", "reader")
Reason = Annotated[str, Field(max_length=REASON_LIMIT)]
Size = Annotated[int, Field(ge=0, lt=2**53)]
Seconds = Annotated[float, NUMBER, Field(gt=0, le=EXPIRY_LIMIT, strict=False)]
_PRINCIPAL = r"^[a-z0-9]([a-z0-9._@:+-]{0,126}[a-z0-9])?$"
Principal = Annotated[str, Field(pattern=_PRINCIPAL, max_length=128)]
"""A person, a team or a machine: `alice`, `alice@example.org`, `ci:acme`."""
_PART = r"(\*|[a-z0-9][a-z0-9._-]{0,63}\*?)"
Pattern = Annotated[str, Field(pattern=rf"^({_PART}/{_PART}|\*)$", max_length=131)]
"""Names of skills: `acme/math`, `acme/*`, `acme/math-*`, or `*` for all."""


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


class NamespaceRequest(ApiRequest):
    """`POST /v1/namespaces`: create a namespace. Needs the action `admin`."""

    name: NamespaceField
    owner: Principal | None = None
    private: bool = False


class NamespaceChange(ApiRequest):
    """`PATCH /v1/namespaces/NAMESPACE`: hide it from everybody without a role in it."""

    private: bool


class MemberRequest(ApiRequest):
    """`POST /v1/namespaces/NAMESPACE/members`: grant a role."""

    principal: Principal
    role: Role


class MemberDocument(Document):
    """A member of a namespace."""

    principal: str
    role: Role
    since: str


class MemberList(Document):
    """The members of a namespace, sorted by principal."""

    members: list[MemberDocument]


class NamespaceDocument(Document):
    """A namespace, with the role of the principal that asks."""

    name: str
    private: bool
    role: Role | None = None
    created: str


class NamespaceList(Document):
    """The namespaces that a principal may see, sorted by name."""

    namespaces: list[NamespaceDocument]


Claim = Annotated[str, Field(min_length=1, max_length=512)]


class PublisherRequest(ApiRequest):
    """`POST /v1/namespaces/NAMESPACE/publishers`: trust tokens of an OIDC issuer.

    `claims` are those that a token must have with exactly these values. At least one must be an
    immutable identifier of the issuer, such as `repository_id`. `pattern` names the skills.
    """

    issuer: Annotated[str, Field(max_length=512)]
    claims: dict[Claim, Claim] = Field(min_length=1, max_length=16)
    pattern: Pattern
    new: bool = False


class PublisherDocument(Document):
    """A rule of trusted publishing. With `new`, its tokens may publish skills that are new."""

    id: str
    issuer: str
    claims: dict[str, str]
    pattern: str
    new: bool = False
    since: str


class PublisherList(Document):
    """The rules of trusted publishing of a namespace."""

    publishers: list[PublisherDocument]


class TokenRequest(ApiRequest):
    """`POST /v1/tokens`: create a token. `expires_in` is in seconds, at most 90 days.

    `principal` needs the action `admin`; the default is the principal that asks. A token that may
    `publish-new` but not `publish` creates one skill, and is then spent.
    """

    actions: list[Action] = Field(min_length=1, max_length=len(ACTIONS))
    patterns: list[Pattern] = Field(min_length=1, max_length=PATTERN_LIMIT)
    expires_in: Seconds = 30 * DAY
    principal: Principal | None = None
    note: Annotated[str, Field(max_length=200)] = ""


class TokenDocument(Document):
    """A token without its secret."""

    id: str
    principal: str
    actions: list[Action]
    patterns: list[str]
    created: str
    expires: str
    note: str = ""
    revoked: bool = False


class NewToken(TokenDocument):
    """A new token. `token` is the secret; the registry keeps its hash, and shows it only here."""

    token: str


class TokenList(Document):
    """The valid tokens of a principal; for administrators, of all principals."""

    tokens: list[TokenDocument]


class ExchangeRequest(ApiRequest):
    """`POST /v1/oidc/exchange`: an OIDC token of a CI service for a token of 15 minutes."""

    token: Annotated[str, Field(min_length=1, max_length=32_768)]
    namespace: NamespaceField | None = None


class WhoamiDocument(Document):
    """`GET /v1/whoami`: the principal of a token, and its roles by namespace."""

    principal: str
    administrator: bool
    token: TokenDocument
    roles: dict[str, Role] = Field(default_factory=empty_dict)


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
