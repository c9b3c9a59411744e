"""The projects that use a home's store, so that `gc` takes nothing from them.

One small file a project, under `projects/` of the home: its path, the device that it lies on, and
the packs that it was known to need, for the time that it cannot be read.
"""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from skillpm.errors import SpecError, StateError
from skillpm.files.access import HomeFolder, open_below
from skillpm.files.errors import MissingFileError
from skillpm.journal.atomic import sweep_strays
from skillpm.spec import json
from skillpm.spec.digests import Digest

Presence = Literal["here", "gone", "away"]
_PROJECTS = "projects"


@dataclass(frozen=True)
class KnownProject:
    """A project as the home remembers it."""

    folder: Path
    device: int
    packs: frozenset[Digest]
    own: bool = True
    """Whether this user wrote the record: in a home that is shared, others have projects too."""

    def presence(self) -> Presence:
        """Whether it is here, was removed, or may lie on a disk that is not mounted now.

        Gone is only what is missing from the very disk that it was last seen on; where the disk is
        another, or does not answer, nothing is concluded.
        """
        try:
            if any((self.folder / name).exists() for name in (".skillpm", "skillpm.toml")):
                return "here"
            nearest = next(p for p in (self.folder, *self.folder.parents) if p.exists())
            return "gone" if nearest.stat().st_dev == self.device else "away"
        except (OSError, ValueError):
            return "away"


@dataclass(frozen=True)
class KnownProjects:
    """Every project that was worked on with this home."""

    home: Path

    def _open(self, *, create: bool = False) -> HomeFolder:
        return open_below(self.home, _PROJECTS, create=create)

    def remember(self, folder: Path, packs: Collection[Digest], *, exact: bool = False) -> None:
        """Keep these packs for a project, and (unless `exact`) those that it was known to need.

        On disk before a generation needs it. A home that cannot be written loses no blob either.
        """
        folder = folder.resolve()
        device = folder.stat().st_dev
        with suppress(StateError), self._open(create=True) as records:
            before = self._read(records, _name(folder))
            kept = frozenset(packs) | (before.packs if before and not exact else frozenset())
            if before == KnownProject(folder, device, kept):
                return
            plain = {"path": str(folder), "device": device, "packs": sorted(map(str, kept))}
            records.write(_name(folder), json.pretty(plain))

    def forget(self, folder: Path) -> bool:
        """Remember a project no more; False where it was not known."""
        try:
            with self._open() as records:
                return records.remove(_name(folder))
        except MissingFileError:
            return False

    def __iter__(self) -> Iterator[KnownProject]:
        """Every project, by path.

        Raises `StateError` for a record that is damaged, and `DeniedError` for one that may not be
        read: a project may need what it holds.
        """
        known: list[KnownProject] = []
        with suppress(MissingFileError), self._open() as records:
            names = [name for name in records.names() if _is_record(name)]
            known = [self._known(records, name) for name in names]
        yield from sorted(known, key=lambda project: project.folder)

    def _known(self, records: HomeFolder, name: str) -> KnownProject:
        project = self._read(records, name)
        if project is None:
            path = records.path / name
            raise StateError(
                f"`{path}` is damaged: a project may need what it says",
                hint=f"remove it; `skillpm install` in the project writes it anew: {path}",
            )
        return project

    @staticmethod
    def _read(records: HomeFolder, name: str) -> KnownProject | None:
        """The record of this name; None where there is none, or it is damaged."""
        status = records.status(name)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        try:
            plain = json.parse_object(records.read(name), str(records.path / name))
            packs = frozenset(Digest(text) for text in plain["packs"])
            folder = Path(plain["path"])
            known = KnownProject(folder, int(plain["device"]), packs, status.st_uid == os.geteuid())
        except (SpecError, KeyError, TypeError, ValueError, OverflowError):
            return None
        return known if folder.is_absolute() and _name(folder) == name else None

    def sweep(self) -> None:
        """Remove what writers that were killed left. Raises `MissingFileError`, `StateError`."""
        with self._open() as records:
            sweep_strays(records)


def _is_record(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _name(folder: Path) -> str:
    """The name of a project's record, which no other path has."""
    return f"{Digest.of(os.fsencode(folder)).hex[:32]}.json"
