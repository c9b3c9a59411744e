"""An empty, read-only index for an embedded registry that does not exist yet."""

from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NoReturn

from skillpm.errors import NotFoundError, UnknownSkillError
from skillpm.spec.advisory import Advisory
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.versions import Version

_BEGUN = frozenset({"registry.lock", "tmp"})
"""Entries of a registry folder that are created before its catalogue."""


def is_uninitialized(folder: Path) -> bool:
    """Whether a folder is not a registry yet: missing, empty, or only partly created."""
    return not folder.exists() or (
        folder.is_dir() and not {entry.name for entry in folder.iterdir()} - _BEGUN
    )


class EmptyIndex:
    """An index without releases. Methods that would change it fail."""

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """An empty mapping."""
        del skills
        return {}

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Raise `NotFoundError`."""
        raise NotFoundError(f"there is no blob `{digest}`: nothing was published yet")

    def publish(
        self, image: bytes, open_blob: Callable[[Digest], BinaryIO], *, now: datetime
    ) -> NoReturn:
        """Never called: publishing creates the registry first."""
        del image, open_blob, now
        raise AssertionError

    def yank(self, skill: SkillName, version: Version, *, reason: str, now: datetime) -> Release:
        """Raise `UnknownSkillError`."""
        del reason, now
        return self.unyank(skill, version)

    def unyank(self, skill: SkillName, version: Version) -> Release:
        """Raise `UnknownSkillError`."""
        raise UnknownSkillError(f"there is no release `{skill}` {version}")

    def search(self, text: str) -> list[Release]:
        """An empty list."""
        del text
        return []

    def advisories(self) -> list[Advisory]:
        """An empty list."""
        return []

    def advise(self, advisory: Advisory, *, now: datetime) -> NoReturn:
        """Raise `UnknownSkillError`."""
        del now
        raise UnknownSkillError(
            f"the advisory `{advisory.id}` names no known skill: nothing was published yet"
        )

    def withdraw(self, identifier: str, *, now: datetime) -> NoReturn:
        """Raise `NotFoundError`."""
        del now
        raise NotFoundError(f"there is no advisory `{identifier}`: nothing was published yet")

    def skills(self) -> list[SkillName]:
        """An empty list."""
        return []

    def close(self) -> None:
        """Do nothing."""
