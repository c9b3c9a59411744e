"""The JSON documents that `--json` prints, and their parts, as types.

`emit_json` adds `schema_version` to each document. Names, versions, digests and paths are text;
sizes are in bytes. A key marked `NotRequired` is left out, not null, where it does not apply.
"""

from typing import NotRequired, TypedDict

from skillpm.cli.effects import EffectDocument


class SkillDocument(TypedDict):
    """A release: an entry of a lock, of a generation or of a registry."""

    skill: str
    version: str
    digest: str


class InstalledDocument(SkillDocument):
    """An entry of `list`. `license` comes with `--verbose`, if the store has the manifest."""

    scheme: str
    registry: str
    payload_bytes: int
    weight: float
    verified: bool
    yanked: bool
    quarantined: bool
    yank_reason: str
    license: NotRequired[str | None]


class ShownRelease(SkillDocument):
    """An entry of `show`."""

    verified: bool
    size: int
    base: str | None
    requires: list[str]
    conflicts: list[str]
    yanked: bool
    yank_reason: str
    quarantined: bool
    summary: str
    license: str | None
    created: str
    scheme: str
    payload_bytes: int


class EdgeDocument(TypedDict):
    """A requirement between two skills, as `tree` lists it for either of them."""

    skill: str
    requirement: str


class NodeDocument(SkillDocument):
    """An entry of `tree`. `wanted` is the range in skillpm.toml."""

    wanted: str | None
    requires: list[EdgeDocument]
    required_by: list[EdgeDocument]


class StepDocument(SkillDocument):
    """A step of a path of `why`. `requirement` is the range that the step before asks for."""

    requirement: str


class AdvisoryDocument(TypedDict):
    """An advisory, as `registry advisory` lists it."""

    id: str
    level: str
    summary: str
    skills: list[str]
    modified: str
    withdrawn: str | None


class FindingDocument(TypedDict):
    """A finding of `audit`. `id` is an advisory's."""

    level: str
    code: str
    skill: str | None
    message: str
    id: NotRequired[str]
    tensor: NotRequired[str]


class IgnoredDocument(FindingDocument):
    """A finding that `[audit] ignore` puts aside until a date."""

    reason: str
    until: str


class AuditDocument(TypedDict):
    """The result of `audit`."""

    findings: list[FindingDocument]
    checked: int
    ignored: list[IgnoredDocument]


class TensorDocument(TypedDict):
    """The safetensors dtype and the shape of a tensor."""

    dtype: str
    shape: tuple[int, ...]


class DifferenceDocument(TypedDict):
    """A tensor that differs between two models. `relative` is ‖after - before‖/‖before‖."""

    tensor: str
    change: str
    elements: int | None
    relative: float | None
    before: TensorDocument | None
    after: TensorDocument | None


class IdentityDocument(TypedDict):
    """The result of `identify`. The keys that are not required come with `--against`."""

    root: str
    tensors: int
    parameters: int
    architecture: str
    dtype: str
    parts: list[str]
    against: NotRequired[str]
    differences: NotRequired[list[DifferenceDocument]]
    differing_files: NotRequired[list[str]]


class OmittedFileDocument(TypedDict):
    """A file of the tuned model that a pack does not carry."""

    path: str
    reason: str


class PackDocument(TypedDict):
    """The result of `pack`. `ratio` is `delta_bytes` over `payload_bytes`.

    `effects` is empty for an exact pack.
    """

    skill: str
    version: str
    path: str
    digest: str
    scheme: str
    payload_bytes: int
    delta_bytes: int
    ratio: float
    relative_error: float | None
    file_bytes: int
    result_root: str
    left_out: list[OmittedFileDocument]
    rounding: float | None
    effects: list[EffectDocument]


class LeftOutDocument(TypedDict):
    """A tensor that an exported adapter does not carry, and its share of ‖Δ‖²."""

    tensor: str
    reason: str
    share: float | None


class KindDocument(TypedDict):
    """The exported tensors of one module kind, and their ‖Δ - Δ̂‖/‖Δ‖."""

    kind: str
    tensors: int
    residual: float


class ExportDocument(TypedDict):
    """The result of `export`. The keys that are not required come with `--format peft`."""

    skill: str
    version: str
    format: str
    path: str
    rank: int | None
    residual: float | None
    left_out: list[LeftOutDocument]
    root: str | None
    seconds: float
    total_residual: NotRequired[float | None]
    kinds: NotRequired[list[KindDocument]]
    alpha: NotRequired[float]
    side_files: NotRequired[list[str]]


class ProbeDocument(TypedDict):
    """The result of one metric of one skill, in `probe`. `now` is null if it is not finite."""

    skill: str
    metric: str
    base: float
    recorded: float
    now: float | None
    passed: bool
    tolerance: float
    bound: float
    reference: float
    samples: int


class PairForecastDocument(TypedDict):
    """What a merge would cost two skills. A harm is a share of the skill's gain."""

    a: str
    b: str
    overlap: float | None
    cosine: float | None
    cosine_error: float | None
    harm_to_a: float | None
    harm_to_b: float | None
    level: str


class SkillForecastDocument(TypedDict):
    """The share of its gain that a skill would lose to all others of the set."""

    skill: str
    harm: float | None
    level: str


class ForecastDocument(TypedDict):
    """The forecast of a dry run; empty for a change that was carried out."""

    forecast: NotRequired[list[PairForecastDocument]]
    forecast_skills: NotRequired[list[SkillForecastDocument]]
    forecast_unverified: NotRequired[list[str]]
    forecast_notes: NotRequired[list[str]]
    forecast_method: NotRequired[str | None]


class FitDocument(TypedDict):
    """How well a text fits one skill, in nats; `distance` is in standard deviations."""

    evidence: float | None
    threshold: float | None
    base: float | None
    distance: float | None
    score: float | None


class NearDocument(TypedDict):
    """Two skills whose router signatures are nearly equal; `precedence` wins."""

    skills: list[str]
    overlap: float | None
    precedence: str | None


class RouteExplanation(TypedDict):
    """What `route --explain` adds to a decision."""

    reason: str
    runner_up: str | None
    features: dict[str, object]
    fits: dict[str, FitDocument]
    left_out: dict[str, str]
    near: list[NearDocument]


class RouteDocument(TypedDict):
    """A decision of `route`. `skill` is null if the base should answer; scores are in nats."""

    skill: str | None
    score: float | None
    scores: dict[str, float | None]
    explain: NotRequired[RouteExplanation]


class RouteTimes(TypedDict):
    """Mean times of `route` for one text, in milliseconds."""

    features_ms: float
    decision_ms: float


class RouteWarnings(TypedDict):
    """Warnings of `route`; left out if there are none."""

    warnings: NotRequired[list[str]]
