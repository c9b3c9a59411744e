"""A release as an index lists it: the data for resolution and for search."""

from dataclasses import dataclass

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version


@dataclass(frozen=True, slots=True)
class Release:
    """A release of a skill, as an index lists it.

    `digest` is the digest of the OCI manifest, and `size` the total bytes of all blobs of the pack,
    including the OCI manifest. `base` is the root of the base that the pack is built for (None in a
    saved index without it). `yanked` releases are hidden from new resolutions. `quarantined` ones,
    which are `yanked` too, are refused even where they are locked. `yank_reason` explains both.
    """

    skill: SkillName
    version: Version
    digest: Digest | None = None
    size: int = 0
    base: Digest | None = None
    requires: tuple[Requirement, ...] = ()
    conflicts: tuple[Requirement, ...] = ()
    yanked: bool = False
    yank_reason: str = ""
    quarantined: bool = False
    summary: str = ""
    license: str | None = None
    created: str = ""
    scheme: str = ""
    payload_bytes: int = 0

    @property
    def ref(self) -> str:
        """The release in messages: `acme/math 1.2.0`."""
        return f"{self.skill} {self.version}"
