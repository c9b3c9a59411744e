"""`registry advisory`: what a registry says of releases that turned out to be bad."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.errors import UsageError
from skillpm.flows.audit.registries import read_advisories
from skillpm.flows.session.bindings import registry_for
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session
from skillpm.spec.advisory import Advisory
from skillpm.spec.location import RegistryLocation


@dataclass(frozen=True)
class Advised:
    """An advisory that was published, where, and whether that changed anything."""

    advisory: Advisory
    registry: RegistryLocation
    changed: bool


def add(session: Session, paths: list[Path]) -> list[Advised]:
    """Publish the advisories in files, each in the registry that its skills are bound to.

    All are read, and their registries found, before the first is published.
    """
    clean_up(session)
    found = [(advisory, _registry_of(session, advisory)) for advisory in read_advisories(paths)]
    return [
        Advised(one, url, session.connect(url, False).advise(one, now=session.now))
        for one, url in found
    ]


def _registry_of(session: Session, advisory: Advisory) -> RegistryLocation:
    urls = {registry_for(session, entry.name) for entry in advisory.skills()}
    if len(urls) > 1:
        raise UsageError(
            f"advisory `{advisory.id}` is about skills of {len(urls)} registries",
            hint="name one with `--registry URL`",
        )
    return next(iter(urls), registry_for(session, None))


def listed(session: Session) -> list[Advisory]:
    """Every advisory of the default registry."""
    return list(session.connect(registry_for(session, None), False).advisories())


def withdraw(session: Session, identifier: str) -> Advisory:
    """Withdraw an advisory of the default registry: it stays listed, and affects nothing."""
    clean_up(session)
    index = session.connect(registry_for(session, None), False)
    return index.withdraw(identifier, now=session.now)
