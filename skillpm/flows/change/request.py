"""What `install` asks the resolver for, and what it then writes into `[skills]`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skillpm.environment.project import ProjectFolder
from skillpm.errors import UsageError
from skillpm.flows.change.plan import Guard
from skillpm.flows.locking.lock_check import not_installed
from skillpm.flows.locking.solve import ResolutionRequest
from skillpm.resolver.question import COMMAND_LINE, Question, RootRequirement
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile
from skillpm.spec.requirements import ANY, Requirement, VersionRange
from skillpm.spec.versions import Version

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile


@dataclass(frozen=True)
class InstallRequest:
    """Requirements and pack files to add, and options.

    `upgrade` lists the skills to upgrade, each with a limit on its version; an empty tuple means
    all, None means that this is no upgrade. `lowest` prefers the lowest versions to locked ones.
    `weights` are the new weights of requested skills.
    """

    requirements: tuple[Requirement, ...] = ()
    files: "tuple[PackFile, ...]" = ()
    upgrade: tuple[Requirement, ...] | None = None
    lowest: bool = False
    allow_yanked: bool = False
    dry_run: bool = False
    frozen: bool = False
    accept_footprint: bool = False
    guard: Guard | None = None
    weights: Mapping[SkillName, float] = field(default_factory=dict)

    @property
    def resolves(self) -> bool:
        """Whether the request needs the resolver even if the lock is up to date."""
        asks = self.requirements or self.files or self.upgrade is not None
        return bool(asks or self.lowest or self.allow_yanked)

    @property
    def action(self) -> str:
        """The command as `history` shows it."""
        if self.upgrade is not None:
            return " ".join(["upgrade", *map(str, self.upgrade)])
        asked = [*map(str, self.requirements), *(pack.path.name for pack in self.files)]
        weights = [f"--weight {skill}={weight}" for skill, weight in self.weights.items()]
        return " ".join(["install", *asked, *weights])

    def only_weighs(self, file: ProjectFile) -> bool:
        """Whether the request only gives other weights to skills that skillpm.toml requires."""
        moves = self.files or self.upgrade is not None or self.lowest or self.allow_yanked
        skills = [need.skill for need in self.requirements if need.range == ANY]
        is_named = len(skills) == len(self.requirements) and all(s in self.weights for s in skills)
        known = all(str(skill) in file.skills for skill in skills)
        return bool(skills) and is_named and known and not (moves or self.accept_footprint)


def requested_skills(
    file: ProjectFile, request: InstallRequest, packs: "tuple[PackFile, ...]"
) -> dict[str, dict[str, object]]:
    """`[skills]` with the requested skills; a pack file requests exactly its version.

    New skills keep the order of the command: of near-equal skills, the router prefers the first.
    """
    requirements = {str(skill): _plain(file, skill) for skill in file.project_requirements}
    for need in request.requirements:
        if str(need.skill) not in requirements or need.range != ANY:
            requirements[str(need.skill)] = {**_plain(file, need.skill), "version": str(need.range)}
    pinned: dict[SkillName, Version] = {}
    for pack in packs:
        skill, version = pack.manifest.skill, pack.manifest.version
        if pinned.setdefault(skill, version) != version:
            raise UsageError(f"two pack files contain `{skill}`: {pinned[skill]} and {version}")
        requirements[str(skill)] = {**_plain(file, skill), "version": f"={version}"}
    for skill, weight in request.weights.items():
        requirements[str(skill)]["weight"] = weight
    return requirements


def _plain(file: ProjectFile, skill: SkillName) -> dict[str, object]:
    requirement = file.skills.get(str(skill))
    return (
        requirement.model_dump(exclude_none=True)
        if requirement
        else {"version": "*", "weight": 1.0}
    )


def settled_skills(
    requirements: Mapping[str, dict[str, object]],
    lock: Lockfile,
    request: InstallRequest,
    before: ProjectFile,
) -> dict[str, dict[str, object]]:
    """What stays in `[skills]`: a request without a version, or for a file, becomes `^VERSION`.

    VERSION is what was resolved. An earlier requirement that admits it is kept as it was.
    """
    named = {
        n.skill
        for n in request.requirements
        if n.range == ANY and str(n.skill) not in before.skills
    }
    named |= {pack.manifest.skill for pack in request.files}
    settled = dict(requirements)
    for skill in named:
        old, found = before.skills.get(str(skill)), lock.skills[skill].version
        kept = old is not None and found in VersionRange.parse(old.version)
        version = old.version if old is not None and kept else f"^{found}"
        settled[str(skill)] = {**settled[str(skill)], "version": version}
    return settled


def resolution_request(
    project: ProjectFolder, file: ProjectFile, lock: Lockfile | None, request: InstallRequest
) -> ResolutionRequest:
    """The question for the resolver: requirements with their origins, locked versions preferred."""
    known = (lock or project.generation().lockfile).skills
    upgrading = _upgrading(request, known.keys())
    locked = {skill: release.version for skill, release in known.items() if skill not in upgrading}
    asked = {need.skill for need in request.requirements}
    asked |= {pack.manifest.skill for pack in request.files}
    lines = _lines(project.read_text(project.file))
    wanted = tuple(
        RootRequirement(need, COMMAND_LINE if need.skill in asked else _origin(lines, need))
        for need in file.requirements
    )
    limits = [need for need in request.upgrade or () if need.range != ANY]
    question = Question(
        (*wanted, *(RootRequirement(need, COMMAND_LINE) for need in limits)),
        base=file.root,
        locked=locked,
        accepted=frozenset(
            release.digest for release in known.values() if release.accept_footprint
        ),
        admitted=frozenset(
            (skill, release.version) for skill, release in known.items() if release.allow_yanked
        ),
        allow_yanked=request.allow_yanked,
        upgrading=upgrading if request.upgrade else frozenset(),
        no_downgrades=bool(request.upgrade),
        lowest=request.lowest,
    )
    name = lock.base.name if lock else file.base_name
    digests = {skill: known[skill].digest for skill in locked}
    return ResolutionRequest(file, name, question, request.accept_footprint, digests)


def _upgrading(request: InstallRequest, locked: Collection[SkillName]) -> frozenset[SkillName]:
    """The skills whose locked version is not preferred. Raises `UnknownSkillError`."""
    if not request.upgrade:
        return frozenset(locked) if request.lowest or request.upgrade is not None else frozenset()
    unknown = [need.skill for need in request.upgrade if need.skill not in locked]
    if unknown:
        raise not_installed(unknown[0], locked)
    return frozenset(need.skill for need in request.upgrade)


def _origin(lines: Mapping[str, int], need: Requirement) -> str:
    line = lines.get(str(need.skill))
    return f"skillpm.toml:{line}" if line else "skillpm.toml"


def _lines(text: str) -> dict[str, int]:
    """The line number of each skill in the project file."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        key = line.partition("=")[0].strip().strip("\"'")
        if "/" in key:
            found.setdefault(key, number)
    return found
