"""From what a project asks for to a lock: resolve, then check that the packs go together."""

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
from skillpm.resolver.errors import UnknownWantedError, WrongBaseError
from skillpm.resolver.patience import Deadline
from skillpm.resolver.question import Question
from skillpm.resolver.solve import solve
from skillpm.spec.agreement import fact_differences
from skillpm.spec.compat import clashes
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedBase, LockedGraft, LockedSkill, Lockfile
from skillpm.spec.manifest import Manifest
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile
from skillpm.spec.release import Release
from skillpm.store.errors import DamagedBlobError, MissingBlobError
from skillpm.store.packs import fetch_documents, load_pack

_SHOWN = 12
"""Reasons that one message lists."""


@dataclass(frozen=True)
class SolvedLock:
    """A lock, and the documents of every pack in it."""

    lock: Lockfile
    packs: Mapping[SkillName, AnyPack]


@dataclass(frozen=True)
class ResolutionRequest:
    """What a lock is to satisfy: wishes with their origins, and what should not move.

    `digests` are of the locked packs that should not move.
    """

    file: ProjectFile
    base_name: str
    question: Question
    accept_footprint: bool = False
    digests: Mapping[SkillName, Digest] = field(default_factory=dict)


def solve_project(session: Session, registries: Registries, ask: ResolutionRequest) -> SolvedLock:
    """Resolve, read the manifests, and refuse packs that cannot be grafted together (exit 4)."""
    registries = replace(registries, stored=_stored(session, ask))
    accepted, releases = ask.question.accepted, None
    patience = session.patience()
    while releases is None:
        try:
            question = replace(ask.question, accepted=accepted)
            releases = _solve(registries, question, patience)
        except WrongBaseError as problem:
            accepted |= _accept(session, registries, ask, problem)
    packs = {skill: _documents(session, registries, release) for skill, release in releases.items()}
    lock = _lock(ask, releases, packs)
    check_together(lock, packs)
    return SolvedLock(lock, packs)


def _stored(session: Session, ask: ResolutionRequest) -> dict[SkillName, AnyPack]:
    """The locked packs whose documents are in the store, whole."""
    found: dict[SkillName, AnyPack] = {}
    for skill, digest in ask.digests.items():
        with suppress(MissingBlobError, DamagedBlobError):
            pack = check_is(load_pack(session.store, digest), skill, ask.question.locked[skill])
            for file in pack.manifest.carried:
                pack.read(file.digest)
            found[skill] = pack
    return found


def _solve(
    registries: Registries, question: Question, patience: Deadline
) -> Mapping[SkillName, Release]:
    try:
        return solve(question, registries, patience).releases
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
    """The releases whose footprint this base has all the same (law 8); else the error again."""
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
            f"`{nearest.skill}` {nearest.version} was cut from base `{nearest.base}`, and this "
            f"base is `{ask.file.root}`; but all tensors that the pack touches are the same",
            hint="`--accept-footprint` installs it on this base, and the lock records that",
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
    """`[graft]`, its precedence without the skills that leave the lock.

    Raises `SpecError` where it names a skill that neither was locked before nor is now.
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
            "and which nothing asks for",
            hint=f"take it out of `precedence`, or `skillpm install {unknown[0]}`",
        )
    return asked.with_precedence(releases)


def _locked(ask: ResolutionRequest, release: Release, pack: AnyPack) -> LockedSkill:
    wish = ask.file.skills.get(str(release.skill))
    return LockedSkill(
        skill=release.skill,
        version=release.version,
        digest=pack.digest,
        size=pack.size,
        registry=ask.file.registry_of(release.skill),
        weight=wish.weight if wish else 1.0,
        requires=sorted(pack.manifest.requires, key=str),
        accept_footprint=release.base != ask.file.root,
        allow_yanked=_agreed(ask.question, release),
    )


def _agreed(question: Question, release: Release) -> bool:
    """Whether a person agreed to a yanked release; one that only the lock kept needs no word."""
    told = question.allow_yanked or (release.skill, release.version) in question.admitted
    return release.yanked and told


def known_root(lock: Lockfile, manifests: Mapping[SkillName, Manifest]) -> Digest | None:
    """The graft's root where it follows without tensor work; None where it does not.

    Nothing installed: the base's. One pack at weight 1, or one on top of all others: its own,
    whatever the method. A routed set is no one model, and has none.
    """
    if not lock.skill:
        return lock.base.root
    if lock.graft.routed or any(
        locked.weight != 1.0 or locked.accept_footprint for locked in lock.skill
    ):
        return None
    skills = set(lock.skills)
    for skill in lock.skills:
        if skills == {skill, *(lower.skill for lower in manifests[skill].over)}:
            return manifests[skill].result_root
    return None


def check_together(lock: Lockfile, packs: Mapping[SkillName, AnyPack]) -> None:
    """Raise `ResolutionError` where two packs of the lock conflict (contract, section 4).

    Packs of a routed set never meet: each has only to fit its own weight and what it requires.
    """
    for pack in packs.values():
        _check_layers(pack, packs)
    weights = {skill: locked.weight for skill, locked in lock.skills.items()}
    sets = _meeting(lock, packs) if lock.graft.routed else [dict(packs)]
    for together in sets:
        check_set([together[skill].manifest for skill in sorted(together)], weights)
        check_clashes(side_packs(together.values()))


def _check_layers(pack: AnyPack, packs: Mapping[SkillName, AnyPack]) -> None:
    """Raise `ResolutionError` unless the set has the very packs that a pack was cut on top of."""
    for lower in pack.manifest.over:
        found = packs[lower.skill].digest if lower.skill in packs else None
        if found == lower.digest:
            continue
        has = f"the set has another pack of it, `{found}`" if found else "it is not in the set"
        raise ResolutionError(
            f"{pack.manifest.ref} was cut on top of `{lower.skill}` {lower.version} "
            f"(`{lower.digest}`), and {has}",
            hint=f"`skillpm install {lower.skill}@{lower.version}` from the registry that has that "
            "pack",
        )


def _meeting(lock: Lockfile, packs: Mapping[SkillName, AnyPack]) -> list[dict[SkillName, AnyPack]]:
    """Each pack with all that it requires: what meets in a tensor where answers are routed."""
    return [
        {name: packs[name] for name in sorted(reachable(lock.skills, [skill]))}
        for skill in sorted(packs)
    ]


def check_set(manifests: Sequence[Manifest], weights: Mapping[SkillName, float]) -> None:
    """Raise `ResolutionError` with every reason why these cannot be grafted together."""
    found = list(clashes(manifests, weights))
    if found:
        listed = "\n".join(f"  {reason}" for reason in found[:_SHOWN])
        raise ResolutionError(
            f"these packs cannot be grafted together:\n{listed}",
            hint="install one of them; `weight = 1` in skillpm.toml where a weight is the reason",
        )
    check_facts(manifests)


def check_facts(manifests: Sequence[Manifest]) -> None:
    """Raise `ResolutionError` where packs state different facts of their architecture (ADR 31)."""
    differences = list(fact_differences(manifests))
    if differences:
        listed = "\n".join(f"  {difference}" for difference in differences[:_SHOWN])
        again = differences[0].second
        raise ResolutionError(
            f"these packs were made for different readings of the base:\n{listed}",
            hint=f"pack `{again.skill}` again with one version of the library for both: "
            f"`skillpm pack BASE TUNED --name {again.skill} --version …`",
        )


def check_facts_of(lock: Lockfile, packs: Mapping[SkillName, AnyPack]) -> None:
    """As `check_facts`, for each set of a lock's packs that meet in one graft."""
    for together in _meeting(lock, packs) if lock.graft.routed else [packs]:
        check_facts([together[skill].manifest for skill in sorted(together)])
