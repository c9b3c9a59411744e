"""The projects that use a home's store, so that `gc` takes nothing from them.

One small file a project, under `projects/` of the home: its path, the device that it lies on, and
the packs that it was known to need, for the time that it cannot be read.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from skillpm.errors import SkillpmError, StateError
from skillpm.journal.atomic import remove_strays, write_atomic
from skillpm.spec import json
from skillpm.spec.digests import Digest

Presence = Literal["here", "gone", "away"]


@dataclass(frozen=True)
class KnownProject:
    """A project as the home remembers it."""

    folder: Path
    device: int
    packs: frozenset[Digest]

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
        except OSError:
            return "away"


@dataclass(frozen=True)
class KnownProjects:
    """Every project that was worked on with this home."""

    home: Path

    @property
    def _folder(self) -> Path:
        return self.home / "projects"

    def _record(self, folder: Path) -> Path:
        return self._folder / f"{Digest.of(os.fsencode(folder)).hex[:32]}.json"

    def remember(self, folder: Path, packs: Collection[Digest], *, exact: bool = False) -> None:
        """Keep these packs for a project, and (unless `exact`) those that it was known to need.

        On disk before a generation needs it. A home that cannot be written loses no blob either.
        """
        folder = folder.resolve()
        before = self._read(self._record(folder))
        device = folder.stat().st_dev
        kept = frozenset(packs) | (before.packs if before and not exact else frozenset())
        if before == KnownProject(folder, device, kept):
            return
        plain = {"path": str(folder), "device": device, "packs": sorted(map(str, kept))}
        with suppress(StateError, OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._record(folder), json.pretty(plain))

    def forget(self, folder: Path) -> bool:
        """Remember a project no more; False where it was not known."""
        try:
            self._record(folder).unlink()
        except FileNotFoundError:
            return False
        return True

    def __iter__(self) -> Iterator[KnownProject]:
        """Every project, by path. Raises `StateError` for a record that cannot be read."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            one = self._read(path)
            if one is None:
                raise StateError(
                    f"`{path}` is damaged: a project may need what it says",
                    hint=f"remove it; `skillpm install` in the project writes it anew: {path}",
                )
            found.append(one)
        yield from sorted(found, key=lambda one: one.folder)

    @staticmethod
    def _read(path: Path) -> KnownProject | None:
        try:
            plain = json.parse_object(path.read_bytes(), str(path))
            packs = frozenset(Digest(text) for text in plain["packs"])
            return KnownProject(Path(plain["path"]), int(plain["device"]), packs)
        except (OSError, SkillpmError, KeyError, TypeError, ValueError):
            return None

    def sweep(self) -> None:
        """Remove what writers that were killed left."""
        remove_strays(self._folder)
