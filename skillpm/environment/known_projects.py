"""The projects that use a home's store, so that `gc` keeps the blobs they need.

The home has one small file for each project, in `projects/`: the project's path, the number of the
device that holds it, and the packs that it needed when it was last read. The recorded packs are
used while the project cannot be read, for example because its disk is not mounted.
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
    """A home's record of a project."""

    folder: Path
    device: int
    packs: frozenset[Digest]
    own: bool = True
    """Whether this user wrote the record. In a shared home, other users write records too."""

    def presence(self) -> Presence:
        """Whether the project exists (`here`), was removed (`gone`), or is out of reach (`away`).

        A project is gone only if it is missing from the same device as before. If another device
        is mounted at its path, or the device cannot be read, the project is away.
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
    """The records of all projects that were used with this home."""

    home: Path

    def _open(self, *, create: bool = False) -> HomeFolder:
        return open_below(self.home, _PROJECTS, create=create)

    def remember(self, folder: Path, packs: Collection[Digest], *, exact: bool = False) -> None:
        """Record the packs that a project needs; unless `exact`, in addition to those recorded.

        Call it before the generation that needs the packs is written. An error in writing is
        ignored: `gc` cannot remove blobs from a home that cannot be written.
        """
        folder = folder.resolve()
        device = folder.stat().st_dev
        with suppress(StateError), self._open(create=True) as records:
            before = self._read(records, record_name(folder))
            kept = frozenset(packs) | (before.packs if before and not exact else frozenset())
            if before == KnownProject(folder, device, kept):
                return
            record = {"path": str(folder), "device": device, "packs": sorted(map(str, kept))}
            records.write(record_name(folder), json.pretty(record))

    def forget(self, folder: Path) -> bool:
        """Remove a project's record. Returns False if there was none."""
        try:
            with self._open() as records:
                return records.remove(record_name(folder))
        except MissingFileError:
            return False

    def __iter__(self) -> Iterator[KnownProject]:
        """Every recorded project, in the order of the paths.

        Raises `StateError` for a damaged record, and `DeniedError` for a record that this user may
        not read. Neither is skipped, because `gc` would remove the packs that the record protects.
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
                f"`{path}` is damaged: the packs that its project needs are unknown",
                hint=f"remove {path}; `skillpm install` in its project writes the file again",
            )
        return project

    @staticmethod
    def _read(records: HomeFolder, name: str) -> KnownProject | None:
        """The record in the file `name`; None if the file is missing or damaged."""
        status = records.status(name)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        try:
            record = json.parse_object(records.read(name), str(records.path / name))
            packs = frozenset(Digest(text) for text in record["packs"])
            folder, own = Path(record["path"]), status.st_uid == os.geteuid()
            known = KnownProject(folder, int(record["device"]), packs, own)
        except (SpecError, KeyError, TypeError, ValueError, OverflowError):
            return None
        return known if folder.is_absolute() and record_name(folder) == name else None

    def sweep(self) -> None:
        """Remove temporary files of killed processes.

        Raises `MissingFileError` and `StateError`.
        """
        with self._open() as records:
            sweep_strays(records)


def _is_record(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def record_name(folder: Path) -> str:
    """The file name of a home's record about a project: a digest of the project's path."""
    return f"{Digest.of(os.fsencode(folder)).hex[:32]}.json"
