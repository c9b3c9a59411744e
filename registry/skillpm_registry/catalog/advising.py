"""Publishing and withdrawing advisories, by the rules for changing them."""

from collections.abc import Collection
from datetime import datetime

from skillpm.spec.advisory import Advisory
from skillpm.spec.names import SkillName
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.advisories import Advisories
from skillpm_registry.catalog.events import EventSubject, record_event
from skillpm_registry.errors import (
    AdvisoryOutdatedError,
    UnknownAdvisoryError,
    UnknownAffectedError,
)


def advise(
    advisories: Advisories, advisory: Advisory, skills: Collection[SkillName], *, now: datetime
) -> bool:
    """Publish an advisory, or a newer version of it. Returns False if it is not changed.

    `skills` are those of the registry. Raises `AdvisoryOutdatedError` for a different version that
    is not newer, and `UnknownAffectedError` if it affects no skill, or one that is unknown.
    """
    published = advisories.find(advisory.id)
    if published is not None and published.canonical() == advisory.canonical():
        return False
    if published is not None and published.modified_at >= advisory.modified_at:
        raise AdvisoryOutdatedError(advisory, published=published.modified)
    affected = {entry.name for entry in advisory.skills()}
    unknown = sorted(affected - set(skills))
    if unknown or not affected:
        raise UnknownAffectedError(advisories.database.place, advisory, unknown)
    advisories.put(advisory, now=now)
    return True


def withdraw(advisories: Advisories, identifier: str, *, now: datetime) -> tuple[Advisory, bool]:
    """Withdraw an advisory: it stays listed, but no longer affects releases.

    Returns the advisory, and whether it was changed. Raises `UnknownAdvisoryError`.
    """
    advisory = advisories.find(identifier)
    if advisory is None:
        raise UnknownAdvisoryError(advisories.database.place, identifier)
    if advisory.withdrawn is not None:
        return advisory, False
    withdrawn = advisory.withdrawn_at(now)
    advisories.put(withdrawn, now=now)
    return withdrawn, True


def record_advisory(
    advisories: Advisories, kind: str, advisory: Advisory, actor: Actor, *, now: datetime
) -> None:
    """Record an event about an advisory, in the namespace of its skills if they have one."""
    namespaces = {entry.name.namespace for entry in advisory.skills()}
    namespace = next(iter(namespaces)) if len(namespaces) == 1 else None
    with advisories.database.writing() as connection:
        subject = EventSubject(advisory.id, namespace)
        record_event(connection, kind, subject, actor, now=now)
