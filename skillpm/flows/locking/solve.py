"""Resolve a project's requirements to a lock, and check that the packs are compatible."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from skillpm.errors import NotFoundError, ResolutionError, SpecError
from skillpm.flows.locking.lock_check import reachable
from skillpm.flows.packs.protocol import AnyPack, check_is, side_packs
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.side_files import check_clashes
from skillpm.flows.session.base_model import footprint_fits, open_named_base
from skillpm.flows.session.session import Session
from skillpm.parallel import parallel_map
from skillpm.resolver.deadline import Deadline
from skillpm.resolver.errors import UnknownWantedError, WrongBaseError
from skillpm.resolver.question import Question
from skillpm.resolver.solve import solve
from skillpm.spec.agreement import check_facts
from skillpm.spec.compat import clashes
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedBase, LockedGraft, LockedSkill, Lockfile
from skillpm.spec.manifest import Manifest
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile
from skillpm.spec.release import Release
from skillpm.store.errors import DamagedBlobError, MissingBlobError
from skillpm.store.packs import fetch_documents, load_pack

_PARALLEL_PACKS = 8
"""Packs whose documents are fetched at the same time."""
_SHOWN = 12
"""The most reasons that one message lists."""


@dataclass(frozen=True)
class SolvedLock:
    """A lock, and the packs that it names, of which the documents are in the store."""

    lock: Lockfile
    packs: Mapping[SkillName, AnyPack]


@dataclass(frozen=True)
class ResolutionRequest:
    """The input of a resolution: the project file, the question for the resolver, the locked packs.

    `digests` are those of the locked packs that should keep their versions.
    """

    file: ProjectFile
    base_name: str
    question: Question
    accept_footprint: bool = False
    digests: Mapping[SkillName, Digest] = field(default_factory=dict)


def solve_project(session: Session, registries: Registries, ask: ResolutionRequest) -> SolvedLock:
    """Resolve, fetch the manifests, and check that the packs can be grafted together.

    Raises `ResolutionError` (exit 4) if they cannot.
    """
    registries = replace(registries, stored=_stored(session, ask))
    accepted, releases = ask.question.accepted, None
    deadline = session.start_deadline()
    while releases is None:
        try:
            question = replace(ask.question, accepted=accepted)
            releases = _solve(registries, question, deadline)
        except WrongBaseError as problem:
            accepted |= _accept(session, registries, ask, problem)
    chosen = parallel_map(
        lambda release: _documents(session, registries, release),
        releases.values(),
        workers=max(1, min(len(releases), _PARALLEL_PACKS)),
    )
    packs = dict(zip(releases, chosen, strict=True))
    lock = _lock(ask, releases, packs)
    check_together(lock, packs)
    return SolvedLock(lock, packs)


def _stored(session: Session, ask: ResolutionRequest) -> dict[SkillName, AnyPack]:
    """The locked packs whose documents are in the store, complete and undamaged."""
    stored: dict[SkillName, AnyPack] = {}
    for skill, digest in ask.digests.items():
        with suppress(MissingBlobError, DamagedBlobError):
            pack = check_is(load_pack(session.store, digest), skill, ask.question.locked[skill])
            for file in pack.manifest.carried:
                pack.read(file.digest)
            stored[skill] = pack
    return stored


def _solve(
    registries: Registries, question: Question, deadline: Deadline
) -> Mapping[SkillName, Release]:
    try:
        return solve(question, registries, deadline).releases
    except UnknownWantedError as problem:
        problem.hint = registries.suggest(problem.skill)
        raise


def _documents(session: Session, registries: Registries, release: Release) -> AnyPack:
    for pack in registries.files:
        if pack.digest == release.digest:
            return pack
    stored = registries.stored.get(release.skill)
    if stored is not None and stored.digest == release.digest:
        return stored
    assert release.digest is not None  # noqa: S101 - a registry's releases have one
    index = registries.index(registries.file.registry_of(release.skill))
    fetched = fetch_documents(session.store, release.digest, index)[0]
    return check_is(fetched, release.skill, release.version)


def _accept(
    session: Session, registries: Registries, ask: ResolutionRequest, problem: WrongBaseError
) -> frozenset[Digest]:
    """The releases for another base whose footprint matches this base (law 8).

    Raises `problem` again if there are none, and `ResolutionError` without `accept_footprint`.
    """
    try:
        base = open_named_base(session, ask.file.project.base)
    except NotFoundError:
        raise problem from None
    leaves = session.identify(base, "hashing base").leaves
    fitting = [
        release
        for release in problem.wrong_base
        if footprint_fits(_documents(session, registries, release).manifest, leaves)
    ]
    if not fitting:
        raise problem
    if not ask.accept_footprint:
        nearest = fitting[0]
        raise ResolutionError(
            f"`{nearest.skill}` {nearest.version} was built for base `{nearest.base}`, but this "
            f"base is `{ask.file.root}`; all tensors that the pack changes are the same in both",
            hint="to install it on this base, and record that in the lock: `--accept-footprint`",
        )
    return frozenset(release.digest for release in fitting if release.digest)


def _lock(
    ask: ResolutionRequest,
    releases: Mapping[SkillName, Release],
    packs: Mapping[SkillName, AnyPack],
) -> Lockfile:
    lock = Lockfile(
        base=LockedBase(name=ask.base_name, root=ask.file.root),
        graft=_graft(ask, releases),
        skill=[_locked(ask, release, packs[skill]) for skill, release in sorted(releases.items())],
    )
    return lock.with_root(known_root(lock, {s: pack.manifest for s, pack in packs.items()}))


def _graft(ask: ResolutionRequest, releases: Mapping[SkillName, Release]) -> LockedGraft:
    """The lock's `[graft]` table; its precedence omits the skills that leave the lock.

    Raises `SpecError` if the precedence names a skill that is neither in the old lock nor in the
    new one.
    """
    asked = LockedGraft.of(ask.file.graft)
    unknown = [
        skill
        for skill in asked.precedence
        if skill not in releases and skill not in ask.question.locked
    ]
    if unknown:
        raise SpecError(
            f"`[graft] precedence` of skillpm.toml names `{unknown[0]}`, which is not installed "
            "and which no requirement names",
            hint=f"remove it from `precedence`, or install it: `skillpm install {unknown[0]}`",
        )
    return asked.with_precedence(releases)


def _locked(ask: ResolutionRequest, release: Release, pack: AnyPack) -> LockedSkill:
    asked = ask.file.skills.get(str(release.skill))
    return LockedSkill(
        skill=release.skill,
        version=release.version,
        digest=pack.digest,
        size=pack.size,
        registry=ask.file.registry_of(release.skill),
        weight=asked.weight if asked else 1.0,
        requires=sorted(pack.manifest.requires, key=str),
        accept_footprint=release.base != ask.file.root,
        allow_yanked=_is_allowed_yank(ask.question, release),
    )


def _is_allowed_yank(question: Question, release: Release) -> bool:
    """Whether the release is yanked, and the user asked for it by version or `--allow-yanked`.

    A yanked release that the old lock kept needs no permission.
    """
    allowed = question.allow_yanked or (release.skill, release.version) in question.admitted
    return release.yanked and allowed


def known_root(lock: Lockfile, manifests: Mapping[SkillName, Manifest]) -> Digest | None:
    """The graft's root, if the manifests determine it without decoding tensors; else None.

    With nothing installed, this is the base's root. With one pack at weight 1, or one pack that is
    layered on all others, it is that pack's `result_root`, for every method. A routed set is not a
    single model and has no root.
    """
    if not lock.skill:
        return lock.base.root
    if lock.graft.routed or any(
        locked.weight != 1.0 or locked.accept_footprint for locked in lock.skill
    ):
        return None
    skills = set(lock.skills)
    for skill in lock.skills:
        if skills == {skill, *(layer.skill for layer in manifests[skill].over)}:
            return manifests[skill].result_root
    return None


def check_together(lock: Lockfile, packs: Mapping[SkillName, AnyPack]) -> None:
    """Raise `ResolutionError` if two packs of the lock conflict (contract, section 4).

    In a routed set, only one skill is active at a time. So each pack is checked only together with
    the packs that it requires.
    """
    for pack in packs.values():
        _check_layers(pack, packs)
    weights = {skill: locked.weight for skill, locked in lock.skills.items()}
    sets = _routed_sets(lock, packs) if lock.graft.routed else [dict(packs)]
    for together in sets:
        check_set([together[skill].manifest for skill in sorted(together)], weights)
        check_clashes(side_packs(together.values()))


def _check_layers(pack: AnyPack, packs: Mapping[SkillName, AnyPack]) -> None:
    """Raise `ResolutionError` unless the set has exactly the packs that a pack is layered on."""
    for layer in pack.manifest.over:
        digest = packs[layer.skill].digest if layer.skill in packs else None
        if digest == layer.digest:
            continue
        has = f"the set has another pack of it, `{digest}`" if digest else "it is not in the set"
        raise ResolutionError(
            f"{pack.manifest.ref} is layered on `{layer.skill}` {layer.version} "
            f"(`{layer.digest}`), but {has}",
            hint="install that pack from the registry that has it: "
            f"`skillpm install {layer.skill}@{layer.version} --registry URL`",
        )


def _routed_sets(
    lock: Lockfile, packs: Mapping[SkillName, AnyPack]
) -> list[dict[SkillName, AnyPack]]:
    """Each pack with the packs that it requires: the sets that routed mode activates together."""
    return [
        {name: packs[name] for name in sorted(reachable(lock.skills, [skill]))}
        for skill in sorted(packs)
    ]


def check_set(manifests: Sequence[Manifest], weights: Mapping[SkillName, float]) -> None:
    """Raise `ResolutionError` with the reasons why these packs cannot be grafted together."""
    reasons = list(clashes(manifests, weights))
    if reasons:
        listed = "\n".join(f"  {reason}" for reason in reasons[:_SHOWN])
        raise ResolutionError(
            f"these packs cannot be grafted together:\n{listed}",
            hint="install only one of them; if a weight is the reason, use `--weight 1`, or set "
            "`weight = 1` in skillpm.toml",
        )
    check_facts(manifests)


def check_facts_of(lock: Lockfile, packs: Mapping[SkillName, AnyPack]) -> None:
    """Call `check_facts` for each set of a lock's packs that is active in one graft."""
    for together in _routed_sets(lock, packs) if lock.graft.routed else [packs]:
        check_facts([together[skill].manifest for skill in sorted(together)])
