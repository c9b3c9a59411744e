"""Packs by reference: from files, the store or a registry, with all that they lie over."""

from collections.abc import Iterable
from pathlib import Path

from skillpm.archive.reader import open_pack
from skillpm.errors import NotFoundError, UnknownSkillError
from skillpm.flows.packs.protocol import AnyPack
from skillpm.flows.session.bindings import registry_for
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.store.packs import fetch_pack, load_pack


def find_pack(session: Session, ref: str) -> AnyPack:
    """The pack that a person names: a file, or the newest release that a requirement admits."""
    path = Path(ref)
    if path.suffix == ".skillpack" or path.is_file():
        return open_pack(path)
    if path.is_dir() or "/" in ref.partition("/")[2]:
        raise NotFoundError(
            f"`{ref}` is neither a release nor a pack file",
            hint="name a release, `acme/math@1.0.0`, or a file, `./acme-math-1.0.0.skillpack`",
        )
    need = parse_ref(ref)
    index = session.connect(registry_for(session, need.skill), False)
    releases = index.releases([need.skill]).get(need.skill, ())
    exact = need.range.text.startswith("=")
    fitting = [r for r in releases if r.version in need.range and (exact or not r.yanked)]
    if not releases:
        raise UnknownSkillError(
            f"there is no skill `{need.skill}` in the registry that `{ref}` is looked up in",
            hint=f"`skillpm search {need.skill.name}` looks for it; a pack file is named with its "
            "path, `./NAME.skillpack`",
        )
    if not fitting:
        raise UnknownSkillError(
            f"no release of `{need.skill}` fits `{ref}`",
            hint=f"`skillpm show {need.skill}` lists its releases",
        )
    digest = max(fitting, key=lambda release: release.version).digest
    assert digest is not None  # noqa: S101 - a registry's releases have one
    return fetch_pack(session.store, digest, index)[0]


def parse_ref(ref: str) -> Requirement:
    """A release as people name it: in `acme/math@1.0.0` a bare version means exactly that one."""
    need = Requirement.parse(ref)
    bare = need.range.text[:1].isdigit()
    return Requirement.parse(f"{need.skill} ={need.range}") if bare else need


def with_lower(session: Session, packs: Iterable[AnyPack]) -> list[AnyPack]:
    """These packs and all that they lie over, each once, sorted by skill."""
    found = {pack.manifest.skill: pack for pack in packs}
    queue = list(found.values())
    while queue:
        for lower in queue.pop().manifest.over:
            if lower.skill not in found:
                pack = _by_digest(session, lower.digest, lower.skill)
                found[lower.skill] = pack
                queue.append(pack)
    return [found[skill] for skill in sorted(found)]


def _by_digest(session: Session, digest: Digest, skill: SkillName) -> AnyPack:
    try:
        return load_pack(session.store, digest)
    except NotFoundError:
        index = session.connect(registry_for(session, skill), False)
    try:
        return fetch_pack(session.store, digest, index)[0]
    except NotFoundError as problem:
        raise UnknownSkillError(
            f"the pack lies over `{skill}` `{digest}`, which no registry in reach has",
            hint="publish that pack first, or name its registry with `--registry`",
        ) from problem
