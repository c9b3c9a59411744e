"""What an index says of a release: all that resolution needs, and what people search by."""

from dataclasses import dataclass

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a skill, as an index lists it.

    `digest` is that of the OCI manifest; `size` the bytes of all blobs of the pack, its OCI
    manifest included. `base` is the root that it was cut from (None in a saved index that does
    not say). `yanked` hides it from new resolutions.
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
    summary: str = ""
    license: str | None = None
    created: str = ""
    scheme: str = ""
    payload_bytes: int = 0

    @property
    def ref(self) -> str:
        """How messages name it: `acme/math 1.2.0`."""
        return f"{self.skill} {self.version}"
