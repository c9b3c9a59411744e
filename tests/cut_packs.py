"""Packs that were made earlier in this run: packing the same models again copies the file."""

import hashlib
import os
import shutil
from pathlib import Path

DEPENDENT = frozenset({"--over", "--probes", "--router", "--card", "--calibration"})
"""Options for which packing reads more than the two models."""


class CutPacks:
    """A folder of packs, keyed by the request; all workers of a run share it.

    The first pack of each key is made by the command. Tests of `pack` itself do not use this cache.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def place(self, pair: tuple[Path, Path], *asked: object) -> Path | None:
        """The path of the cached pack; None if it depends on more than the two models.

        Also None if the time is fixed, because tests then compare bytes of two runs of `pack`.
        """
        if DEPENDENT.intersection(map(str, asked)) or "SOURCE_DATE_EPOCH" in os.environ:
            return None
        words = [*map(str, asked), *(f"{path.name} {_content(path)}" for path in pair)]
        return self._folder / hashlib.sha256("\0".join(words).encode()).hexdigest()

    def keep(self, path: Path, place: Path) -> None:
        """Copy a pack to its place; two workers may do so concurrently."""
        staged = self._folder / f"{place.name}.{os.getpid()}"
        shutil.copyfile(path, staged)
        staged.replace(place)


def _content(path: Path) -> str:
    """The digest of all files of a model."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    parts = [f"{p.relative_to(path)} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
