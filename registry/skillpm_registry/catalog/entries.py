"""The entries of index documents: a fixed part for each release, and what the registry states."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from skillpm.spec import json
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.catalog.rows import PackRow

API = 1
LIVE = "live"
YANKED = "yanked"
QUARANTINED = "quarantined"


class ReleaseStatus(NamedTuple):
    """The state of a release: live, yanked or quarantined, and the reason."""

    state: str
    reason: str


def status_of(row: Any) -> ReleaseStatus:
    """The state in a row of `release`. Quarantine counts more than a yank."""
    if row.quarantined:
        return ReleaseStatus(QUARANTINED, row.quarantine_reason)
    if row.yanked:
        return ReleaseStatus(YANKED, row.yank_reason)
    return ReleaseStatus(LIVE, "")


def written(moment: datetime) -> str:
    """A time as documents have it: `2026-01-31T12:00:00Z`."""
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def entry_of(pack: PackRow) -> str:
    """The part of a release's entry that never changes, as canonical JSON."""
    manifest = pack.manifest
    return json.canonical(
        {
            "version": str(manifest.version),
            "digest": str(pack.digest),
            "size": sum(pack.sizes.values()),
            "base": str(manifest.base.root),
            "architecture": manifest.base.architecture,
            "requires": [str(requirement) for requirement in manifest.requires],
            "requires_capabilities": [each.to_dict() for each in manifest.requires_capabilities],
            "conflicts": [str(requirement) for requirement in manifest.conflicts],
            "over": [layer.to_dict() for layer in manifest.over],
            "summary": manifest.summary,
            "license": manifest.license,
            "scheme": manifest.compression.scheme,
            "payload_bytes": manifest.compression.payload_bytes,
            "capabilities": [capability.name for capability in manifest.capabilities],
            "created": manifest.created,
        }
    ).decode()


def full_entry(entry: str, row: Any, position: int) -> dict[str, Any]:
    """The whole entry of a release: its fixed part, and what the registry states about it."""
    status = status_of(row)
    return {
        **json.parse_object(entry.encode(), "an entry of the catalogue"),
        "published": written(row.published_at),
        "state": status.state,
        "reason": status.reason,
        "position": position,
    }


def index_document(skill: SkillName, entries: list[dict[str, Any]]) -> bytes:
    """The index document of a skill: `skillpm.spec.served.IndexDocument`, in canonical JSON."""
    ordered = sorted(entries, key=lambda entry: Version.parse(entry["version"]).key)
    return json.canonical({"api": API, "skill": str(skill), "releases": ordered})


def leaf_document(kind: str, facts: Mapping[str, Any], now: datetime) -> str:
    """The bytes of a leaf of the log: canonical JSON with the kind, the release and the time."""
    return json.canonical({"kind": kind, "time": written(now), **facts}).decode()
