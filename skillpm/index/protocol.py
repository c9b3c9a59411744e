"""The protocol of an index. Each kind of registry implements it structurally."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from skillpm.spec.advisory import Advisory
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.versions import Version


class PublishedRelease(Protocol):
    """The result of publishing: the release, and whether it is new."""

    @property
    def release(self) -> Release:
        """The release as the registry lists it."""
        ...

    @property
    def created(self) -> bool:
        """False if the registry already had the same digest."""
        ...


class Index(Protocol):
    """A registry from the client's point of view."""

    def releases(self, skills: Collection[SkillName]) -> Mapping[SkillName, Sequence[Release]]:
        """All releases of these skills, including yanked ones. Unknown skills are absent."""
        ...

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a blob as a stream. Raises `NotFoundError`."""
        ...

    def publish(
        self, image: bytes, open_blob: Callable[[Digest], BinaryIO], *, now: datetime
    ) -> PublishedRelease:
        """Publish a pack atomically. `image` is the OCI manifest."""
        ...

    def yank(self, skill: SkillName, version: Version, *, reason: str, now: datetime) -> Release:
        """Hide a release from new resolutions."""
        ...

    def unyank(self, skill: SkillName, version: Version) -> Release:
        """Show a yanked release again."""
        ...

    def search(self, text: str) -> list[Release]:
        """The latest release of each skill that matches a text."""
        ...

    def advisories(self) -> Sequence[Advisory]:
        """All advisories, including withdrawn ones, sorted by identifier."""
        ...

    def advise(self, advisory: Advisory, *, now: datetime) -> bool:
        """Publish a new or updated advisory. Returns False if it is already published."""
        ...

    def withdraw(self, identifier: str, *, now: datetime) -> Advisory:
        """Withdraw an advisory. Raises `NotFoundError`."""
        ...

    def skills(self) -> list[SkillName]:
        """All skills."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...
