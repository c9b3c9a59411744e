"""The JSON documents of commands whose results are short, as types; see `skillpm.cli.documents`.

`skillpm.cli.schemas` lists which command prints which document.
"""

from typing import Any, Literal, NotRequired, TypedDict

from skillpm.cli.documents import (
    AdvisoryDocument,
    ForecastDocument,
    InstalledDocument,
    NodeDocument,
    PackDocument,
    ProbeDocument,
    RouteDocument,
    RouteTimes,
    RouteWarnings,
    ShownRelease,
    SkillDocument,
    StepDocument,
)
from skillpm.spec.plan import SavedPlan

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

    A dry run has `plan`, which `skillpm apply` reads, and the forecast of a merge. A change that
    was carried out has `fetched_bytes`.
    """

    added: list[SkillDocument]
    removed: list[SkillDocument]
    changed: list[SkillDocument]
    generation: int
    kept: int
    dry_run: bool
    notes: list[str]
    plan: NotRequired[SavedPlan]
    fetched_bytes: NotRequired[int]


class LockResult(TypedDict):
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
    graft: dict[str, Any] | None
    pruned: str | None


class HistoryDocument(TypedDict):
    """The result of `history`."""

    current: int
    generations: list[GenerationDocument]


MovedDocument = TypedDict(
    "MovedDocument",
    {
        "skill": str, "version": str, "digest": str, "from": str, "from_digest": str,
        "weight": float, "from_weight": float,
    },
)  # fmt: skip
"""A skill that differs between two sets: its values in the second one, and in the first one."""

SidesDocument = TypedDict("SidesDocument", {"from": Any, "to": Any})
"""A value of the first and of the second set."""


class DiffDocument(TypedDict):
    """The result of `diff`. `base` and `graft` are null where the sets agree."""

    added: list[SkillDocument]
    removed: list[SkillDocument]
    changed: list[MovedDocument]
    base: SidesDocument | None
    graft: SidesDocument | None


class TreeDocument(TypedDict):
    """The result of `tree`."""

    roots: list[str]
    generation: int
    skills: list[NodeDocument]
    notes: list[str]


class WhyDocument(SkillDocument):
    """The result of `why`. `wanted` is the range in skillpm.toml, or null."""

    wanted: str | None
    paths: list[list[StepDocument]]


class HoldDocument(TypedDict):
    """A reason why a newer release is not chosen."""

    by: str | None
    requirement: str | None
    statement: str


class OutdatedSkill(TypedDict):
    """An entry of `outdated`."""

    skill: str
    current: str
    wanted: str | None
    latest: str | None
    yanked: bool
    quarantined: bool
    held_by: list[str]
    holds: list[HoldDocument]


class SkippedDocument(TypedDict):
    """A newer release that is never chosen automatically."""

    skill: str
    version: str
    reason: str


class OutdatedDocument(TypedDict):
    """The result of `outdated`. `unlisted` skills are in no registry that can be reached."""

    outdated: list[OutdatedSkill]
    checked: int
    unlisted: list[str]
    notes: list[str]
    skipped: list[SkippedDocument]


class ResolvedDocument(TypedDict):
    """The result of `resolve`: versions by skill."""

    resolved: dict[str, str]


class GraftDocument(TypedDict):
    """The result of `graft`."""

    path: str
    root: str
    generation: int
    skills: list[SkillDocument]
    written_bytes: int
    linked_bytes: int
    reused_bytes: int
    unchanged: bool
    seconds: float


class KeptDocument(TypedDict):
    """The share of its gain that the worst probe keeps."""

    before: float
    after: float


class TunedDocument(TypedDict):
    """The result of `graft --tune`. `generation` is null if the weights were not saved."""

    weights: dict[str, float]
    kept: KeptDocument
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
    manifest: dict[str, Any]
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
    """The result of `show`."""

    skill: str
    releases: list[ShownRelease]


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
