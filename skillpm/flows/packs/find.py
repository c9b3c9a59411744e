"""Find packs by reference in files, the store or a registry, with the packs below them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from skillpm.archive.reader import open_pack
from skillpm.environment.project import ProjectFolder
from skillpm.errors import NotFoundError, SpecError, UnknownSkillError
from skillpm.flows.packs.protocol import AnyPack
from skillpm.flows.packs.quarantine import QuarantinedReleaseError, refuse_listed
from skillpm.flows.packs.registries import nearest_skill
from skillpm.flows.session.bindings import registry_for
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session
from skillpm.spec.closure import closure
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.store.packs import StoredPack, damage_of, fetch_pack, load_pack


def names_a_file(ref: str) -> bool:
    """Whether the user's text is a path to a pack file, and not a skill or a release."""
    return ref.endswith(".skillpack") or ref.startswith((".", "/", "~")) or Path(ref).is_file()


def find_named(session: Session, ref: str) -> AnyPack:
    """The installed release of a skill; otherwise the result of `find_pack`."""
    locked = _installed(session, ref)
    return find_pack(session, ref) if locked is None else load_pack(session.store, locked.digest)


def find_intact(session: Session, ref: str) -> AnyPack:
    """The pack of `find_named`, with every digest verified.

    Raises `DamagedBlobError` or `MissingBlobError` if the store lacks a blob of an installed pack.
    """
    if _installed(session, ref) is None:
        clean_up(session)
    pack = find_named(session, ref)
    problem = damage_of(session.store, pack.digest) if isinstance(pack, StoredPack) else None
    if problem is not None:
        raise problem
    return pack


def _installed(session: Session, ref: str) -> LockedSkill | None:
    """The installed release of the skill that `ref` names; a release must be the same version."""
    project = ProjectFolder(session.project)
    if not project.has_environment:
        return None
    try:
        need = parse_ref(ref)
    except SpecError:
        return None
    locked = project.generation().lockfile.skills.get(need.skill)
    return locked if locked is not None and locked.version in need.range else None


def find_pack(session: Session, ref: str) -> AnyPack:
    """The pack that the user names: a file, or the newest release that a requirement admits."""
    path = Path(ref)
    if path.suffix == ".skillpack" or path.is_file():
        return open_pack(path)
    if path.is_dir() or "/" in ref.partition("/")[2]:
        raise NotFoundError(
            f"`{ref}` is neither a release nor a pack file",
            hint="give a release, `acme/math@1.0.0`, or a file, `./acme-math-1.0.0.skillpack`",
        )
    need = parse_ref(ref)
    location = registry_for(session, need.skill)
    index = session.connect(location, False)
    releases = index.releases([need.skill]).get(need.skill, ())
    exact = need.range.text.startswith("=")
    matching = [r for r in releases if r.version in need.range and (exact or not r.yanked)]
    if not releases:
        raise UnknownSkillError(
            f"there is no skill `{need.skill}` in the registry",
            hint=nearest_skill(need.skill, index.skills()),
        )
    if not matching:
        raise UnknownSkillError(
            f"no release of `{need.skill}` matches `{ref}`",
            hint=f"to list its releases: `skillpm show {need.skill}`",
        )
    newest = max(matching, key=lambda release: release.version)
    assert newest.digest is not None  # noqa: S101 - a registry's releases have one
    if newest.quarantined:
        raise QuarantinedReleaseError(newest, str(location), newest.yank_reason)
    advance = session.progress("fetching", newest.size)
    return fetch_pack(session.store, newest.digest, index, advance)[0]


def parse_ref(ref: str) -> Requirement:
    """Parse a reference. In `acme/math@1.0.0`, a bare version means exactly that version."""
    need = Requirement.parse(ref)
    bare = need.range.text[:1].isdigit()
    return Requirement.parse(f"{need.skill} ={need.range}") if bare else need


def with_layers(session: Session, packs: Iterable[AnyPack]) -> list[AnyPack]:
    """These packs and all packs that they are layered on, each once, sorted by skill."""
    by_skill = {pack.manifest.skill: pack for pack in packs}

    def layers(upper: SkillName) -> Iterator[SkillName]:
        for layer in by_skill[upper].manifest.over:
            if layer.skill not in by_skill:
                by_skill[layer.skill] = _by_digest(session, layer.digest, layer.skill)
            yield layer.skill

    return [by_skill[skill] for skill in sorted(closure(list(by_skill), layers))]


def _by_digest(session: Session, digest: Digest, skill: SkillName) -> AnyPack:
    try:
        return load_pack(session.store, digest)
    except NotFoundError:
        location = registry_for(session, skill)
        index = session.connect(location, False)
    refuse_listed(index, skill, digest, str(location))
    try:
        return fetch_pack(session.store, digest, index)[0]
    except NotFoundError as problem:
        raise UnknownSkillError(
            f"the pack is layered on `{skill}` `{digest}`, which is neither in the store nor in "
            "the registry",
            hint="publish that pack first, or name its registry: `--registry URL`",
        ) from problem
