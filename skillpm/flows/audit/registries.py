"""Findings from registries: yanked or changed releases, and advisories."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from skillpm.audit.findings import Finding
from skillpm.checkpoint.model import read_small
from skillpm.errors import AuthError, NotFoundError, RegistryError, capped
from skillpm.files.named import expanded
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.session import Session
from skillpm.spec.advisory import Advisory, parse_advisories
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.project import ProjectFile
from skillpm.spec.release import Release


def read_advisories(paths: Iterable[Path]) -> list[Advisory]:
    """Read the advisories in files, and in the `.json` files of folders.

    Raises `SpecError` for a file that cannot be parsed, `NotFoundError` for a path without one.
    """
    advisories: list[Advisory] = []
    for path in (expanded(given) for given in paths):
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files:
            raise NotFoundError(f"`{path}` contains no advisories; expected `*.json` files")
        for file in files:
            advisories += parse_advisories(read_small(file), f"`{file}`")
    return advisories


def listed_findings(
    session: Session, file: ProjectFile, lock: Lockfile, known: Sequence[Advisory]
) -> Iterator[Finding]:
    """Yield yanks and advisories. A registry is asked only about the namespaces bound to it."""
    registries, by_registry = Registries(session, file), dict[str, list[LockedSkill]]()
    for locked in lock.skills.values():
        by_registry.setdefault(file.registry_of(locked.skill), []).append(locked)
    for name, skills in by_registry.items():
        advisories: Sequence[Advisory] = ()
        try:
            index = registries.index(name)
            listed = index.releases([locked.skill for locked in skills])
            session.states.record(listed)
            advisories = index.advisories()
        except (AuthError, RegistryError) as problem:
            text = f"yanked releases and advisories are unknown: {problem.message}"
            yield Finding("low", "registry-unreachable", None, text)
        else:
            for locked in skills:
                yield from _release(locked, listed.get(locked.skill, ()))
        for locked in skills:
            yield from _advised(locked, [*known, *advisories])


def _release(locked: LockedSkill, listed: Sequence[Release]) -> Iterator[Finding]:
    name = str(locked.skill)
    release = next((r for r in listed if r.version == locked.version), None)
    if release is None:
        yield Finding("medium", "unlisted", name, f"the registry does not list {locked.ref}")
    elif release.digest != locked.digest:
        text = (
            f"the registry lists {locked.ref} with the digest `{release.digest}`; skillpm.lock "
            f"expects `{locked.digest}`"
        )
        yield Finding("critical", "release-changed", name, text)
    elif release.quarantined:
        reason = f": {capped(release.yank_reason)}" if release.yank_reason else ""
        text = f"{locked.ref} is quarantined{reason}; `skillpm upgrade {name}` finds another"
        yield Finding("critical", "quarantined", name, text)
    elif release.yanked:
        reason = f": {capped(release.yank_reason)}" if release.yank_reason else ""
        text = f"{locked.ref} was yanked{reason}; `skillpm upgrade {name}` finds another"
        yield Finding("high", "yanked", name, text)


def _advised(locked: LockedSkill, advisories: Iterable[Advisory]) -> Iterator[Finding]:
    """Yield each advisory once, even if several sources have it."""
    reported: set[str] = set()
    for advisory in advisories:
        if advisory.id in reported or not advisory.affects(locked.skill, locked.version):
            continue
        reported.add(advisory.id)
        fix = advisory.fixed_in(locked.skill, locked.version)
        text = f"{locked.ref} is affected by {advisory.id}: {advisory.summary or 'no summary'}"
        text += f"; fixed in {fix}: `skillpm install {locked.skill}@^{fix}`" if fix else ""
        yield Finding(
            advisory.level, "advisory", str(locked.skill), text, advisory.id, aliases=advisory.names
        )
