"""`registry advisory`: publish, list and withdraw a registry's advisories."""

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
    """A published advisory, its registry, and whether the registry changed."""

    advisory: Advisory
    registry: RegistryLocation
    changed: bool


def add(session: Session, paths: list[Path]) -> list[Advised]:
    """Publish the advisories in files, each to the registry that its skills are bound to.

    Reads every file and finds every registry before the first advisory is published. Raises
    `UsageError` if the skills of one advisory belong to several registries.
    """
    clean_up(session)
    targets = [(advisory, _registry_of(session, advisory)) for advisory in read_advisories(paths)]
    return [
        Advised(advisory, url, session.connect(url, False).advise(advisory, now=session.now))
        for advisory, url in targets
    ]


def _registry_of(session: Session, advisory: Advisory) -> RegistryLocation:
    urls = {registry_for(session, entry.name) for entry in advisory.skills()}
    if len(urls) > 1:
        raise UsageError(
            f"advisory `{advisory.id}` affects skills of {len(urls)} registries; expected one",
            hint="publish to one registry with `--registry URL`, or split the advisory",
        )
    return next(iter(urls), registry_for(session, None))


def listed(session: Session) -> list[Advisory]:
    """Return every advisory of the default registry."""
    return list(session.connect(registry_for(session, None), False).advisories())


def withdraw(session: Session, identifier: str) -> Advisory:
    """Withdraw an advisory of the default registry: it stays listed but affects no release."""
    clean_up(session)
    index = session.connect(registry_for(session, None), False)
    return index.withdraw(identifier, now=session.now)
