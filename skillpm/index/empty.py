"""The embedded registry that nobody has published to yet: it lists nothing, and writes nothing."""

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
"""What lies in a registry's folder before its catalogue does."""


def is_uninitialized(folder: Path) -> bool:
    """Whether a folder is no registry yet: absent, empty, or as a cut-off creation leaves it."""
    return not folder.exists() or (
        folder.is_dir() and not {each.name for each in folder.iterdir()} - _BEGUN
    )


class EmptyIndex:
    """An index without releases."""

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """None."""
        del skills
        return {}

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Never found."""
        raise NotFoundError(f"blob `{digest}` is in no registry: nothing was published yet")

    def publish(
        self, image: bytes, open_blob: Callable[[Digest], BinaryIO], *, now: datetime
    ) -> NoReturn:
        """Never: publishing makes a registry first."""
        del image, open_blob, now
        raise AssertionError

    def yank(self, skill: SkillName, version: Version, *, reason: str, now: datetime) -> Release:
        """Nothing to hide."""
        del reason, now
        return self.unyank(skill, version)

    def unyank(self, skill: SkillName, version: Version) -> Release:
        """Nothing to show."""
        raise UnknownSkillError(f"there is no release `{skill}` {version}")

    def search(self, text: str) -> list[Release]:
        """None."""
        del text
        return []

    def advisories(self) -> list[Advisory]:
        """None."""
        return []

    def advise(self, advisory: Advisory, *, now: datetime) -> NoReturn:
        """Nothing is here to be advised of."""
        del now
        raise UnknownSkillError(f"nothing was published yet that `{advisory.id}` could be about")

    def withdraw(self, identifier: str, *, now: datetime) -> NoReturn:
        """Nothing to withdraw."""
        del now
        raise NotFoundError(f"there is no advisory `{identifier}`: nothing was published yet")

    def skills(self) -> list[SkillName]:
        """None."""
        return []

    def close(self) -> None:
        """Nothing is open."""
