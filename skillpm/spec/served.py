"""The static documents of a registry that is served over HTTP.

`/config.json` is a `RegistryConfig`. `/index/NAMESPACE/NAME.json` is an `IndexDocument`, and the
same bytes are at `/index/NAMESPACE/NAME/DIGEST.json`, where DIGEST is the 64 hexadecimal digits of
their SHA-256. `/advisories/all.json` is an `AdvisoryList`. A blob is at `/blobs/sha256/XX/DIGEST`,
where XX are the first two digits.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.fields import (
    HALF_PATTERN,
    WHOLE,
    DigestField,
    Document,
    RequirementField,
    SkillNameField,
    VersionField,
    empty_list,
    read_document,
)
from skillpm.spec.manifest_parts import Count, Over, RequiredCapability
from skillpm.spec.memo import parse_once
from skillpm.spec.names import HALF_LIMIT, SkillName, is_half
from skillpm.spec.release import Release

API: Final = 1
CONFIG_PATH = "/config.json"
ADVISORIES_PATH = "/advisories/all.json"
CONFIG_LIMIT = 8_000_000
"""Bytes of `/config.json`. A client reads no more."""
INDEX_LIMIT = 32_000_000
"""Bytes of an index document: more than 10,000 releases of one skill."""
ReleaseState = Literal["live", "yanked", "quarantined"]
Api = Annotated[Literal[1], WHOLE]
Position = Annotated[int, Field(ge=0, lt=2**63)]


def _half(text: str) -> str:
    if not is_half(text):
        raise ValueError(
            f"expected a namespace of at most {HALF_LIMIT} lower-case letters and digits joined by "
            "`.`, `_`, `__` or dashes"
        )
    return text


NamespaceField = Annotated[
    str,
    Field(max_length=HALF_LIMIT, json_schema_extra={"pattern": f"^{HALF_PATTERN}$"}),
    AfterValidator(_half),
]


def _url(text: Any) -> Any:
    """An absolute HTTP URL without credentials, query, fragment and final slash."""
    scheme, separator, rest = text.partition("://") if isinstance(text, str) else ("", "", "")
    plain = rest.isascii() and rest.isprintable() and not set(rest) & set("@?#\\ ")
    if not (separator and scheme in ("http", "https") and rest and plain and rest[-1] != "/"):
        raise ValueError("expected a URL like https://skills.example.org, without a final slash")
    return text


UrlField = Annotated[str, Field(max_length=2048), BeforeValidator(_url)]


class RegistryParts(Document):
    """The URLs of a registry's parts, without a final slash. `None` where a part does not exist.

    `service` is the origin of the paths that begin with `/v1`. It also answers `/index` and
    `/blobs` for private namespaces; static servers do not have those files.
    """

    index: UrlField
    blobs: UrlField
    advisories: UrlField
    service: UrlField | None = None
    log: UrlField | None = None
    map: UrlField | None = None
    root: UrlField | None = None


class RegistryConfig(Document):
    """`/config.json`: how a client reaches the parts of a registry.

    `url` is the registry's own URL; tokens of an OIDC issuer must have it as audience.
    `namespaces` lists the public ones. `chunk_bytes` is the size of a chunk of an upload.
    """

    api: Api = API
    url: UrlField
    parts: RegistryParts
    namespaces: list[NamespaceField] = Field(default_factory=empty_list)
    chunk_bytes: Annotated[int, Field(ge=1 << 16, le=1 << 23)] = 1 << 20

    def canonical(self) -> bytes:
        """The bytes of the document."""
        return json.canonical(self.to_dict())


class IndexedRelease(Document):
    """A release in an index document: what search, resolution and lists need of it.

    `digest` is that of the OCI manifest, `size` the bytes of all blobs, `base` the root of the
    base. `created` is the time that the pack states, `published` that of the registry. `reason`
    explains a state other than `live`. `position` is the release's place in the log, `None` until
    the sequencer has numbered it.
    """

    version: VersionField
    digest: DigestField
    size: Count
    base: DigestField
    architecture: str
    requires: list[RequirementField] = Field(default_factory=empty_list)
    requires_capabilities: list[RequiredCapability] = Field(default_factory=empty_list)
    conflicts: list[RequirementField] = Field(default_factory=empty_list)
    over: list[Over] = Field(default_factory=empty_list)
    summary: str
    license: str | None = None
    scheme: str
    payload_bytes: Count
    capabilities: list[str] = Field(default_factory=empty_list)
    created: str
    published: str
    state: ReleaseState = "live"
    reason: str = ""
    position: Position | None = None

    def release(self, skill: SkillName) -> Release:
        """The release as an index of the client lists it."""
        return Release(
            skill=skill, version=self.version, digest=self.digest, size=self.size, base=self.base,
            requires=tuple(self.requires), conflicts=tuple(self.conflicts),
            yanked=self.state != "live", yank_reason=self.reason,
            quarantined=self.state == "quarantined", summary=self.summary,
            license=self.license, created=self.created, scheme=self.scheme,
            payload_bytes=self.payload_bytes,
        )  # fmt: skip


class IndexDocument(Document):
    """All releases of a skill, in the order of versions."""

    api: Api = API
    skill: SkillNameField
    releases: list[IndexedRelease]

    def canonical(self) -> bytes:
        """The bytes of the document. Their digest names its immutable form."""
        return json.canonical(self.to_dict())


class AdvisoryList(Document):
    """All advisories of a registry, also withdrawn ones, as documents in OSV form."""

    api: Api = API
    advisories: list[dict[str, Any]]

    def canonical(self) -> bytes:
        """The bytes of the document."""
        return json.canonical(self.to_dict())


def index_path(skill: SkillName) -> str:
    """The path of a skill's index document, below the URL of the part `index`."""
    return f"/{skill.namespace}/{skill.name}.json"


def index_path_of_digest(skill: SkillName, digest: Digest) -> str:
    """The immutable path of an index document with these bytes."""
    return f"/{skill.namespace}/{skill.name}/{digest.hex}.json"


def blob_path(digest: Digest) -> str:
    """The path of a blob, below the URL of the part `blobs`."""
    return f"/sha256/{digest.hex[:2]}/{digest.hex}"


def parse_config(data: bytes) -> RegistryConfig:
    """Read `/config.json`. Raises `SpecError`, also for an API that this skillpm does not know."""
    what = "the registry's config.json"
    plain = json.parse_object(data, what)
    api = plain.get("api")
    if type(api) is int and api > API:
        raise SpecError(
            f"{what} has API {api}, but this skillpm knows up to API {API}",
            hint="upgrade skillpm: `pip install --upgrade skillpm-graft`",
        )
    return read_document(RegistryConfig, plain, what)


@parse_once
def parse_index_document(data: bytes) -> IndexDocument:
    """Read an index document. Raises `SpecError` with every problem and its path.

    The caller checks that `skill` is the one that it asked for.
    """
    what = "the index document"
    return read_document(IndexDocument, json.parse_object(data, what), what)
