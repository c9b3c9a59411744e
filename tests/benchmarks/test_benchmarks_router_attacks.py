"""The benchmark of hostile router signatures, on a few artificial subjects."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.routing import attacks as router_attacks
from benchmarks.routing.hostile import ATTACKS
from benchmarks.routing.main import QUERIES, Texts, draw
from benchmarks.routing.subjects import EXAMPLES

WIDTH, SUBJECTS = 32, 5


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Texts:
    """Features of artificial subjects; results are written to a folder of this test."""
    monkeypatch.setattr(router_attacks, "CACHE", tmp_path)
    chance = np.random.default_rng(0)

    def about(centre: np.ndarray, count: int) -> np.ndarray:
        return unit(centre + 0.5 * chance.standard_normal((count, WIDTH)) / np.sqrt(WIDTH))

    centres = unit(chance.standard_normal((SUBJECTS + 1, WIDTH)))
    subjects = {
        f"subject-{place}": about(centre, EXAMPLES + QUERIES)
        for place, centre in enumerate(centres[:-1])
    }
    return Texts(subjects, about(centres[-1], 64), about(centres[-1], 64))


def test_table_of_attacks_is_cached(seen: Texts, tmp_path: Path) -> None:
    table = router_attacks.table_of(seen, 1, 3, "128 copies")
    assert [row[0] for row in table.rows] == [
        "no such pack",
        "128 copies of the victim's examples",
    ]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 2
    again = router_attacks.table_of(seen, 1, 3, "128 copies")
    assert again.rows == table.rows
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


def test_every_attack_is_a_readable_signature(seen: Texts) -> None:
    scene = router_attacks.scene_of(seen, draw(seen.subjects, 0), 3)
    for make in ATTACKS.values():
        examples, background = make(scene)
        assert len(router_attacks._read(examples, background).examples) == len(examples)


def test_invalid_signatures_are_refused(seen: Texts) -> None:
    said = router_attacks.refused(seen, draw(seen.subjects, 0), 3)
    assert len(said) == 7
    assert "read" not in said.values()
