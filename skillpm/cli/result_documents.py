"""The JSON documents of commands whose results are short, as types; see `skillpm.cli.documents`.

`skillpm.cli.schemas` lists which command prints which document.
"""

from typing import Any, Literal, NotRequired, TypedDict

from skillpm.cli.documents import (
    AdvisoryDocument,
    ForecastDocument,
    InstalledDocument,
    PackDocument,
    ProbeDocument,
    RouteDocument,
    RouteTimes,
    RouteWarnings,
    ShownRelease,
    SkillDocument,
)

ErrorKind = Literal[
    "usage", "spec", "not_found", "resolution", "integrity", "graft", "state", "auth", "registry",
    "interrupted", "internal",
]  # fmt: skip


class FailureDocument(TypedDict):
    """What failed. `hint` is a command to try, or null."""

    kind: ErrorKind
    message: str
    hint: str | None


class ErrorDocument(TypedDict):
    """The document of every command that fails."""

    error: FailureDocument


class InitDocument(TypedDict):
    """The result of `init`."""

    project: str
    base: str
    root: str
    generation: int


class PackedDocument(PackDocument):
    """The result of `pack`, with the seconds that the command took."""

    seconds: float


class ChangeDocument(ForecastDocument):
    """The result of a command that changes the environment.

    A dry run has the forecast of a merge, and `plan`, which `skillpm apply` reads; the schema of
    plans describes it. A change that was carried out has `fetched_bytes`.
    """

    added: list[SkillDocument]
    removed: list[SkillDocument]
    changed: list[SkillDocument]
    generation: int
    kept: int
    dry_run: bool
    notes: list[str]
    plan: NotRequired[dict[str, object]]
    fetched_bytes: NotRequired[int]


class LockDocument(TypedDict):
    """The result of `lock`. `fresh` is whether skillpm.lock agrees with skillpm.toml."""

    fresh: bool
    changed: bool
    reason: str | None


class ListDocument(TypedDict):
    """The result of `list`."""

    generation: int
    base_root: str
    skills: list[InstalledDocument]
    notes: list[str]


class GenerationDocument(TypedDict):
    """An entry of `history`. A pruned generation has no `graft`, and `pruned` is its time."""

    number: int
    created: str
    action: str
    skills: list[SkillDocument]
    graft: dict[str, object] | None
    pruned: str | None


class HistoryDocument(TypedDict):
    """The result of `history`."""

    current: int
    generations: list[GenerationDocument]


class ResolvedDocument(TypedDict):
    """The result of `resolve`: versions by skill."""

    resolved: dict[str, str]


class GainDocument(TypedDict):
    """The share of its gain that the worst probe keeps."""

    before: float
    after: float


class TunedDocument(TypedDict):
    """The result of `graft --tune`. `generation` is null if the weights were not saved."""

    weights: dict[str, float]
    kept: GainDocument
    trials: int
    generation: int | None


class ClaimDocument(TypedDict):
    """A statement of a manifest that cannot be recomputed."""

    path: str
    value: Any
    reason: str


class InspectDocument(TypedDict):
    """The result of `inspect`. `manifest` is described by the schema of manifests."""

    digest: str
    size: int
    manifest: dict[str, object]
    claims: list[ClaimDocument]
    verified_on: list[str]


class VerifyDocument(TypedDict):
    """The result of `verify`. `result_root` is null without a base."""

    digest: str
    result_root: str | None
    verified: bool
    checked: list[str]
    recomputed: bool
    claims: list[ClaimDocument]


class PublishDocument(SkillDocument):
    """The result of `publish`. `created` is false if the registry had the release already."""

    registry: str
    created: bool


class YankDocument(SkillDocument):
    """The result of `yank` and `unyank`."""

    yanked: bool


class FoundDocument(SkillDocument):
    """An entry of `search`."""

    summary: str
    verified: bool


class SearchDocument(TypedDict):
    """The result of `search`."""

    results: list[FoundDocument]


class ShowDocument(TypedDict):
    """The result of `show SKILL`."""

    skill: str
    releases: list[ShownRelease]


class ReleaseManifestDocument(ShownRelease):
    """The result of `show SKILL@VERSION`. `manifest` is null if the release is quarantined."""

    registry: str
    manifest: dict[str, object] | None
    claims: list[ClaimDocument]
    verified_on: list[str]


class ProbesDocument(TypedDict):
    """The result of `probe`. `without` are skills that carry no probes."""

    results: list[ProbeDocument]
    generation: int
    mode: str
    passed: bool
    without: list[str]


class RoutedDocument(RouteDocument, RouteTimes, RouteWarnings):
    """The result of `route TEXT`."""


class RoutedFile(RouteTimes, RouteWarnings):
    """The result of `route --file`: one decision for each text."""

    results: list[RouteDocument]


class BundleDocument(TypedDict):
    """The result of `bundle`."""

    path: str
    digest: str
    bytes: int
    base_root: str
    skills: list[SkillDocument]


class AddedAdvisory(AdvisoryDocument):
    """An entry of `registry advisory add`."""

    changed: bool


class AddedAdvisories(TypedDict):
    """The result of `registry advisory add`."""

    advisories: list[AddedAdvisory]


class AdvisoriesDocument(TypedDict):
    """The result of `registry advisory list`."""

    advisories: list[AdvisoryDocument]
