"""What registries and advisories say of what is installed: yanked, replaced, known to be bad."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from skillpm.audit.findings import Finding
from skillpm.checkpoint.model import read_small
from skillpm.errors import NotFoundError, RegistryError
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.session import Session
from skillpm.spec.advisory import Advisory, parse_advisories
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.project import ProjectFile
from skillpm.spec.release import Release


def read_advisories(paths: Iterable[Path]) -> list[Advisory]:
    """The advisories in files, and in the `.json` files of folders.

    Raises `SpecError` for one that cannot be read, `NotFoundError` where there is none.
    """
    found: list[Advisory] = []
    for path in (named.expanduser() for named in paths):
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files:
            raise NotFoundError(f"there are no advisories (`*.json`) in `{path}`")
        for file in files:
            found += parse_advisories(read_small(file), f"`{file}`")
    return found


def listed_findings(
    session: Session, file: ProjectFile, lock: Lockfile, known: Sequence[Advisory]
) -> Iterator[Finding]:
    """Yanks and advisories. A registry speaks only of the namespaces that are bound to it."""
    registries, by_registry = Registries(session, file), dict[str, list[LockedSkill]]()
    for locked in lock.skills.values():
        by_registry.setdefault(file.registry_of(locked.skill), []).append(locked)
    for name, skills in by_registry.items():
        said: Sequence[Advisory] = ()
        try:
            index = registries.index(name)
            listed = index.releases([one.skill for one in skills])
            said = index.advisories()
        except RegistryError as problem:
            text = f"yanks and advisories unknown: {problem.message}"
            yield Finding("low", "registry-unreachable", None, text)
        else:
            for one in skills:
                yield from _release(one, listed.get(one.skill, ()))
        for one in skills:
            yield from _advised(one, [*known, *said])


def _release(locked: LockedSkill, listed: Sequence[Release]) -> Iterator[Finding]:
    name = str(locked.skill)
    release = next((one for one in listed if one.version == locked.version), None)
    if release is None:
        yield Finding("medium", "unlisted", name, f"its registry does not list {locked.ref}")
    elif release.digest != locked.digest:
        text = f"its registry has {locked.ref} as `{release.digest}`"
        yield Finding("critical", "release-changed", name, text)
    elif release.yanked:
        why = f": {release.yank_reason}" if release.yank_reason else ""
        yield Finding("high", "yanked", name, f"{locked.ref} was yanked{why}")


def _advised(locked: LockedSkill, advisories: Iterable[Advisory]) -> Iterator[Finding]:
    """Each advisory once, whoever repeats it."""
    told: set[str] = set()
    for advisory in advisories:
        if advisory.id in told or not advisory.affects(locked.skill, locked.version):
            continue
        told.add(advisory.id)
        fix = advisory.fixed_in(locked.skill, locked.version)
        text = f"{locked.ref}: {advisory.id}: {advisory.summary or 'no summary'}"
        text += f"; fixed in {fix}" if fix else ""
        yield Finding(
            advisory.level, "advisory", str(locked.skill), text, advisory.id, aliases=advisory.names
        )
