"""Limits on the bytes that namespaces and principals store."""

from sqlalchemy import Connection, func, select

from skillpm_registry.catalog.actor import Actor
from skillpm_registry.refusals import QuotaExceededError, UnknownNamespaceError
from skillpm_registry.tables import namespace, principal, release, skill, upload


def check_quota(connection: Connection, name: str, size: int, actor: Actor) -> None:
    """Raise `QuotaExceededError` if an upload would exceed a limit.

    A namespace stores its releases and its open uploads; a principal's limit is on its open
    uploads. Raises `UnknownNamespaceError`.
    """
    row = connection.execute(
        select(namespace.c.quota_bytes).where(namespace.c.name == name)
    ).first()
    if row is None:
        raise UnknownNamespaceError(name)
    if row.quota_bytes is not None:
        released = (
            select(func.coalesce(func.sum(release.c.size), 0))
            .join(skill, skill.c.id == release.c.skill_id)
            .where(skill.c.namespace == name)
        )
        uploading = select(func.coalesce(func.sum(upload.c.size), 0)).where(
            upload.c.namespace == name
        )
        stored = int(connection.execute(released).scalar_one())
        stored += int(connection.execute(uploading).scalar_one())
        _check(f"namespace `{name}`", row.quota_bytes, stored + size)
    if actor.principal is not None:
        limit = connection.scalar(
            select(principal.c.quota_bytes).where(principal.c.id == actor.principal)
        )
        if limit is not None:
            own = select(func.coalesce(func.sum(upload.c.size), 0)).where(
                upload.c.principal_id == actor.principal
            )
            needed = int(connection.execute(own).scalar_one()) + size
            _check("this account", limit, needed)


def _check(owner: str, limit: int, needed: int) -> None:
    if needed > limit:
        raise QuotaExceededError(owner, limit=limit, needed=needed)
