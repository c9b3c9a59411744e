"""Packs that were cut before in this run: the same cut asked for again is a copy of its file."""

import hashlib
import os
import shutil
from pathlib import Path

DEPENDENT = frozenset({"--over", "--probes", "--router", "--card", "--calibration"})
"""Flags whose cut reads more than its two models."""


class CutPacks:
    """A folder of packs by what was asked for; all workers of a run share it.

    The first cut of each is a real one. A test of `pack` itself runs the command instead.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def place(self, pair: tuple[Path, Path], *asked: object) -> Path | None:
        """Where the pack is or is to be kept; None where it depends on more than its models.

        None too where the time is fixed: there the same bytes are a promise, which a copy keeps
        for nothing.
        """
        if DEPENDENT.intersection(map(str, asked)) or "SOURCE_DATE_EPOCH" in os.environ:
            return None
        words = [*map(str, asked), *(f"{path.name} {_content(path)}" for path in pair)]
        return self._folder / hashlib.sha256("\0".join(words).encode()).hexdigest()

    def keep(self, path: Path, place: Path) -> None:
        """Copy a pack to its place; two workers may do so at once."""
        staged = self._folder / f"{place.name}.{os.getpid()}"
        shutil.copyfile(path, staged)
        staged.replace(place)


def _content(path: Path) -> str:
    """The digest of all files of a model."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    parts = [f"{p.relative_to(path)} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
