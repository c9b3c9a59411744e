"""What the client needs of a registry; every kind of registry fits it by shape."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from skillpm.spec.advisory import Advisory
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.versions import Version


class PublishedRelease(Protocol):
    """What publishing gave: the release, and whether it is new."""

    @property
    def release(self) -> Release:
        """The release as the registry now lists it."""
        ...

    @property
    def created(self) -> bool:
        """False where the same digest was there already."""
        ...


class Index(Protocol):
    """A registry, as the client sees it."""

    def releases(self, skills: Collection[SkillName]) -> Mapping[SkillName, Sequence[Release]]:
        """All releases of these skills, yanked too; unknown skills are absent."""
        ...

    def open_blob(self, digest: Digest) -> BinaryIO:
        """A blob as a stream; `NotFoundError` where there is none."""
        ...

    def publish(
        self, image: bytes, open_blob: Callable[[Digest], BinaryIO], *, now: datetime
    ) -> PublishedRelease:
        """Publish a pack, whole or not at all."""
        ...

    def yank(self, skill: SkillName, version: Version, *, reason: str, now: datetime) -> Release:
        """Hide a release from new resolutions."""
        ...

    def unyank(self, skill: SkillName, version: Version) -> Release:
        """Show it again."""
        ...

    def search(self, text: str) -> list[Release]:
        """The latest release of each skill that matches."""
        ...

    def advisories(self) -> Sequence[Advisory]:
        """Every advisory that stands or was withdrawn, by its identifier."""
        ...

    def advise(self, advisory: Advisory, *, now: datetime) -> bool:
        """Publish an advisory, or a newer form of one; False where it stands so already."""
        ...

    def withdraw(self, identifier: str, *, now: datetime) -> Advisory:
        """Withdraw an advisory; `NotFoundError` where there is none."""
        ...

    def skills(self) -> list[SkillName]:
        """Every skill."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...
