"""The results of the Python API: frozen dataclasses with digests and names as text."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile
    from skillpm.audit.findings import Audited
    from skillpm.environment.generation import Installed
    from skillpm.flows.change.plan import ChangeResult
    from skillpm.flows.graft.graft import Grafted
    from skillpm.flows.inspect.identify import Identified
    from skillpm.routing.router import Decision

LEVELS = ("low", "medium", "high", "critical")
"""The levels of findings, ascending."""


@dataclass(frozen=True)
class InstalledSkill:
    """A release that is installed in a project. `payload_bytes` is 0 if it is unknown."""

    name: str
    version: str
    digest: str
    weight: float
    scheme: str
    registry: str = ""
    payload_bytes: int = field(default=0, repr=False)

    @classmethod
    def of(cls, installed: "Installed") -> Self:
        """Convert an entry of a generation."""
        return cls(
            name=str(installed.skill),
            version=str(installed.version),
            digest=str(installed.digest),
            weight=installed.weight,
            scheme=installed.scheme,
            registry=installed.registry,
            payload_bytes=installed.payload_bytes,
        )


@dataclass(frozen=True)
class Change:
    """The result of a change of a project, or with `dry_run` of a plan that was not applied.

    `generation` is the current generation after the change, `kept` the number of unchanged skills,
    `notes` are messages for the user.
    """

    added: tuple[InstalledSkill, ...]
    removed: tuple[InstalledSkill, ...]
    changed: tuple[InstalledSkill, ...]
    generation: int
    kept: int = 0
    dry_run: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, changed: "ChangeResult") -> Self:
        """Convert a flow's result."""
        return cls(
            added=_installed(changed.added),
            removed=_installed(changed.removed),
            changed=_installed(changed.changed),
            generation=changed.generation,
            kept=changed.kept,
            dry_run=changed.dry_run,
            notes=changed.notes,
        )


def _installed(entries: "Collection[Installed]") -> tuple[InstalledSkill, ...]:
    return tuple(map(InstalledSkill.of, entries))


@dataclass(frozen=True)
class GraftResult:
    """A model folder that was written, or with `unchanged` was already up to date.

    `linked_bytes` are shared with the base, `reused_bytes` are from the earlier graft.
    """

    path: Path
    root: str
    written_bytes: int
    seconds: float
    linked_bytes: int = 0
    reused_bytes: int = 0
    generation: int = 0
    skills: tuple[str, ...] = ()
    unchanged: bool = False

    @classmethod
    def of(cls, grafted: "Grafted") -> Self:
        """Convert a flow's result."""
        return cls(
            path=grafted.path,
            root=str(grafted.root),
            written_bytes=grafted.written_bytes,
            seconds=grafted.seconds,
            linked_bytes=grafted.linked_bytes,
            reused_bytes=grafted.reused_bytes,
            generation=grafted.generation,
            skills=tuple(str(locked.skill) for locked in grafted.skills),
            unchanged=grafted.unchanged,
        )


@dataclass(frozen=True)
class RouteDecision:
    """The skill chosen for a text; `skill` is None if the base should answer.

    `score` is the best skill's margin in nats, None if there are no candidates. `scores` has the
    score of each candidate.
    """

    skill: str | None
    score: float | None
    reason: str
    scores: Mapping[str, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, decision: "Decision") -> Self:
        """Convert a router's decision."""
        skill = None if decision.skill is None else str(decision.skill)
        scores = {str(name): score for name, score in decision.scores.items()}
        return cls(skill, decision.score, decision.reason, scores)


@dataclass(frozen=True)
class AuditFinding:
    """A problem with an installed skill, or with the whole project if `skill` is None."""

    level: str
    code: str
    skill: str | None
    message: str


@dataclass(frozen=True)
class AuditReport:
    """All findings, most severe first; `fail_on` is the project's threshold."""

    findings: tuple[AuditFinding, ...]
    checked: int
    fail_on: str

    @classmethod
    def of(cls, audited: "Audited", fail_on: str) -> Self:
        """Convert a flow's result."""
        findings = tuple(
            AuditFinding(found.level, found.code, found.skill, found.message)
            for found in audited.findings
        )
        return cls(findings, audited.checked, fail_on)

    @property
    def passed(self) -> bool:
        """Whether no finding reaches the project's threshold."""
        threshold = LEVELS.index(self.fail_on)
        return all(LEVELS.index(found.level) < threshold for found in self.findings)


@dataclass(frozen=True)
class ModelIdentity:
    """The identity of a model: the root over all tensors, and facts about them.

    `dtype` is the safetensors name of the dtype that most parameters have.
    """

    root: str
    tensors: int
    parameters: int
    architecture: str
    dtype: str

    @classmethod
    def of(cls, identified: "Identified") -> Self:
        """Convert a flow's result."""
        identity = identified.identity
        return cls(
            root=str(identity.root),
            tensors=len(identity.leaves),
            parameters=identity.parameters,
            architecture=identified.architecture,
            dtype=identity.dtype,
        )


@dataclass(frozen=True)
class Pack:
    """A SkillPack in a file, all its digests verified. Sizes are in bytes.

    `relative_error` is ‖Δ - Δ̂‖/‖Δ‖ over all tensors, 0 for a lossless pack; `ratio` is
    `delta_bytes` over `payload_bytes`. `manifest` is the JSON document of the pack.
    """

    path: Path
    digest: str
    skill: str
    version: str
    scheme: str
    base_root: str
    result_root: str
    payload_bytes: int = field(repr=False)
    delta_bytes: int = field(repr=False)
    ratio: float = field(repr=False)
    relative_error: float | None
    manifest: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, file: "PackFile") -> Self:
        """Convert an opened pack file."""
        manifest = file.manifest
        compression = manifest.compression
        return cls(
            path=file.path,
            digest=str(file.digest),
            skill=str(manifest.skill),
            version=str(manifest.version),
            scheme=compression.scheme,
            base_root=str(manifest.base.root),
            result_root=str(manifest.result_root),
            payload_bytes=compression.payload_bytes,
            delta_bytes=compression.delta_bytes,
            ratio=compression.ratio,
            relative_error=compression.relative_error,
            manifest=manifest.to_dict(),
        )


@dataclass(frozen=True)
class VerifiedPack:
    """A pack that passed verification.

    `root` is the recomputed root of base + pack. It is None if no base was given; then only the
    digests and the consistency of the manifest were checked. `claims` are paths in the manifest of
    statements that cannot be recomputed, such as the error against the tuned model.
    """

    pack: Pack
    root: str | None
    claims: tuple[str, ...]
