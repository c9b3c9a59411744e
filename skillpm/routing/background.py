"""The pooled background texts of all packs, in which every pack has the same weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skillpm.routing.signature import MOST_BACKGROUND, Array


@dataclass(frozen=True)
class Background:
    """Distinct background texts [m, width], and the share of each in the whole, [m], sum 1.

    Each pack that has a background has the same share, independent of its number of rows.
    """

    rows: Array
    shares: Array

    @classmethod
    def of(cls, backgrounds: Sequence[Array], packs: Sequence[int], width: int) -> "Background":
        """Pool distinct backgrounds, each sent by a number of `packs`."""
        if not backgrounds:
            return cls(np.zeros((0, width)), np.zeros(0))
        rows, places = np.unique(np.concatenate(backgrounds), axis=0, return_inverse=True)
        total = sum(packs)
        weights = [
            np.full(len(background), count / total / len(background))
            for background, count in zip(backgrounds, packs, strict=True)
        ]
        shares = np.bincount(places.ravel(), weights=np.concatenate(weights), minlength=len(rows))
        return cls(rows, np.asarray(shares, dtype=np.float64))

    @property
    def worth(self) -> int:
        """The number of texts that the pool counts as, at most what one pack may contain."""
        return min(len(self.rows), MOST_BACKGROUND)

    @property
    def mean(self) -> Array:
        """The mean text, [width]."""
        return np.asarray(self.shares @ self.rows, dtype=np.float64)

    def without_fold(self, fold: int, folds: int) -> "Background":
        """Return all rows except those of one fold."""
        kept = np.arange(len(self.rows)) % folds != fold
        if not kept.any():
            return Background(self.rows[:0], self.shares[:0])
        return Background(self.rows[kept], self.shares[kept] / self.shares[kept].sum())


def distinct_backgrounds(sent: Sequence[Array]) -> tuple[list[Array], list[int | None]]:
    """Return the distinct backgrounds, and the index of each pack's; None if it sent none."""
    places: dict[bytes, int] = {}
    backgrounds: list[Array] = []
    indices: list[int | None] = []
    for rows in sent:
        if not len(rows):
            indices.append(None)
            continue
        background = np.unique(rows, axis=0)
        place = places.setdefault(background.tobytes(), len(backgrounds))
        if place == len(backgrounds):
            backgrounds.append(background)
        indices.append(place)
    return backgrounds, indices
