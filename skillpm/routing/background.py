"""What packs say of the base's own texts, where no pack has more say than another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skillpm.routing.signature import MOST_BACKGROUND, Array


@dataclass(frozen=True)
class Background:
    """Distinct background texts [m, width], and the share of each in the whole, [m], sum 1.

    Each pack that has a background has the same share, however many rows it sends.
    """

    rows: Array
    shares: Array

    @classmethod
    def of(cls, voices: Sequence[Array], packs: Sequence[int], width: int) -> "Background":
        """The pool of different backgrounds, each sent by a number of `packs`."""
        if not voices:
            return cls(np.zeros((0, width)), np.zeros(0))
        rows, places = np.unique(np.concatenate(voices), axis=0, return_inverse=True)
        total = sum(packs)
        each = [
            np.full(len(voice), count / total / len(voice))
            for voice, count in zip(voices, packs, strict=True)
        ]
        shares = np.bincount(places.ravel(), weights=np.concatenate(each), minlength=len(rows))
        return cls(rows, np.asarray(shares, dtype=np.float64))

    @property
    def worth(self) -> int:
        """How many texts it counts as: more than one pack may hold count for no more."""
        return min(len(self.rows), MOST_BACKGROUND)

    @property
    def mean(self) -> Array:
        """The mean text, [width]."""
        return np.asarray(self.shares @ self.rows, dtype=np.float64)

    def without_fold(self, fold: int, folds: int) -> "Background":
        """All rows but every `folds`-th."""
        kept = np.arange(len(self.rows)) % folds != fold
        if not kept.any():
            return Background(self.rows[:0], self.shares[:0])
        return Background(self.rows[kept], self.shares[kept] / self.shares[kept].sum())


def distinct_voices(backgrounds: Sequence[Array]) -> tuple[list[Array], list[int | None]]:
    """The different backgrounds, and which of them each pack has; None for a pack without."""
    places: dict[bytes, int] = {}
    voices: list[Array] = []
    which: list[int | None] = []
    for background in backgrounds:
        if not len(background):
            which.append(None)
            continue
        voice = np.unique(background, axis=0)
        place = places.setdefault(voice.tobytes(), len(voices))
        if place == len(voices):
            voices.append(voice)
        which.append(place)
    return voices, which
