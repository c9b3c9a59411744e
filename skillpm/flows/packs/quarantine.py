"""Refuse locked releases that a registry has quarantined (ADR 55)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, SkillpmError, capped
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.session import Session
from skillpm.index.protocol import Index
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release


class QuarantinedReleaseError(IntegrityError):
    """A registry has quarantined a release, which is then refused wherever it is locked."""

    def __init__(self, release: LockedSkill | Release, registry: str, reason: str) -> None:
        why = f": {capped(' '.join(reason.split()))}" if reason.strip() else ""
        super().__init__(
            f"{release.ref} is quarantined by the registry `{registry}`{why}",
            hint=f"`skillpm upgrade {release.skill}` installs another release; "
            f"`skillpm uninstall {release.skill}` removes the skill",
        )


def refuse_quarantined(registries: Registries, lock: Lockfile) -> None:
    """Raise `QuarantinedReleaseError` for the first locked release that is known as quarantined.

    Known is what a registry over HTTP said when it was last asked. No registry is asked now, except
    for a release that was quarantined then, which may have been released since; a registry that
    does not answer changes nothing.
    """
    for name, skills in _by_registry(lock.skill).items():
        known = _known(registries, name, skills)
        suspects = [locked for locked in skills if locked.digest in known]
        if error := next(_errors(registries, name, suspects), None):
            raise error


def refuse_installed(session: Session, project: ProjectFolder, lock: Lockfile) -> None:
    """As `refuse_quarantined`, for skills of a project that a command is about to run."""
    refuse_quarantined(Registries(session, project.read_file()), lock)


def refuse_listed(index: Index, skill: SkillName, digest: Digest, registry: str) -> None:
    """Raise `QuarantinedReleaseError` if an index lists the release with a digest as quarantined.

    A release is checked so before it is fetched. `registry` names its registry in the message.
    """
    for release in index.releases([skill]).get(skill, ()):
        if release.quarantined and release.digest == digest:
            raise QuarantinedReleaseError(release, registry, release.yank_reason)


def quarantines_of(registries: Registries, lock: Lockfile) -> list[QuarantinedReleaseError]:
    """An error for each locked release that its registry lists as quarantined.

    Asks every registry; what it said before counts if it does not answer.
    """
    return [
        error
        for name, skills in _by_registry(lock.skill).items()
        for error in _errors(registries, name, skills)
    ]


def _errors(
    registries: Registries, name: str, skills: Sequence[LockedSkill]
) -> Iterator[QuarantinedReleaseError]:
    """Ask a registry about these skills; what it said before counts if it does not answer."""
    asked = _asked(registries, name, skills) if skills else {}
    reasons = _known(registries, name, skills) if asked is None else asked
    for locked in skills:
        if locked.digest in reasons:
            registry = str(registries.location(name))
            yield QuarantinedReleaseError(locked, registry, reasons[locked.digest])


def _by_registry(locked: Iterable[LockedSkill]) -> dict[str, list[LockedSkill]]:
    by_registry: dict[str, list[LockedSkill]] = {}
    for entry in locked:
        by_registry.setdefault(entry.registry, []).append(entry)
    return by_registry


def _known(
    registries: Registries, name: str, skills: Iterable[LockedSkill]
) -> Mapping[Digest, str]:
    with suppress(SkillpmError):
        location = registries.location(name)
        return registries.session.quarantines(location, [locked.skill for locked in skills])
    return {}


def _asked(
    registries: Registries, name: str, skills: Iterable[LockedSkill]
) -> Mapping[Digest, str] | None:
    """The quarantined releases that a registry lists now; None if it cannot be asked."""
    with suppress(SkillpmError):
        return _quarantined(registries.index(name).releases([locked.skill for locked in skills]))
    return None


def _quarantined(listed: Mapping[SkillName, Sequence[Release]]) -> dict[Digest, str]:
    return {
        release.digest: release.yank_reason
        for releases in listed.values()
        for release in releases
        if release.quarantined and release.digest is not None
    }
