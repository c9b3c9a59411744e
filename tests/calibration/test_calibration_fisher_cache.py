"""Sums of Fisher factors are saved whole or not at all, and a damaged entry is computed again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from calibration_worlds import LETTERS, causal_model

from skillpm.calibration.fisher import Fisher, factor_shapes
from skillpm.calibration.fisher_cache import FisherCache, run_determinants
from skillpm.calibration.gather import PARTS, gather
from skillpm.delta.auto.weights import Kronecker
from skillpm.running.runner import Batch, Runner

SHAPES: dict[str, tuple[int, ...]] = {"matrix": (3, 4), "wide": (2, 9000), "vector": (5,)}


def a_fisher(folder: Path, seed: int = 0) -> Fisher:
    """Sums of two gradients of each tensor."""
    folder.mkdir()
    fisher, draw = Fisher(folder), torch.Generator().manual_seed(seed)
    for tensor, shape in SHAPES.items():
        for _ in range(2):
            fisher.add_gradient(tensor, torch.randn(shape, generator=draw))
    fisher.batches, fisher.count = 2, 64
    return fisher


def an_empty_fisher(folder: Path) -> Fisher:
    folder.mkdir()
    return Fisher(folder)


def same(left: Kronecker | None, right: Kronecker | None) -> bool:
    assert left is not None
    assert right is not None
    rows = (left.rows is None) == (right.rows is None)
    if left.rows is not None and right.rows is not None:
        rows = torch.equal(left.rows, right.rows)
    return rows and torch.equal(left.columns, right.columns)


@pytest.fixture
def cache(tmp_path: Path) -> FisherCache:
    (tmp_path / "home").mkdir()
    return FisherCache.of(tmp_path / "home", {"text": "a"}, SHAPES)


def entry_of(cache: FisherCache) -> Path:
    return cache.home / "cache" / "fisher" / cache.key


def test_saved_sums_are_restored_bit_for_bit(tmp_path: Path, cache: FisherCache) -> None:
    saved, restored = a_fisher(tmp_path / "a"), an_empty_fisher(tmp_path / "b")
    cache.save(saved)
    cache.restore(restored)
    assert (restored.batches, restored.count) == (2, 64)
    assert all(same(saved.load(tensor), restored.load(tensor)) for tensor in SHAPES)


def test_a_restored_sum_is_continued_without_changing_the_saved_one(
    tmp_path: Path, cache: FisherCache
) -> None:
    cache.save(a_fisher(tmp_path / "a"))
    first, second = an_empty_fisher(tmp_path / "b"), an_empty_fisher(tmp_path / "c")
    cache.restore(first)
    first.add_gradient("matrix", torch.ones(3, 4))
    cache.restore(second)
    assert not same(first.load("matrix"), second.load("matrix"))


def test_a_newer_snapshot_replaces_the_older_one(tmp_path: Path, cache: FisherCache) -> None:
    cache.save(a_fisher(tmp_path / "a"))
    newer = a_fisher(tmp_path / "b", seed=1)
    newer.batches = 3
    cache.save(newer)
    assert len(list(entry_of(cache).iterdir())) == 2
    restored = an_empty_fisher(tmp_path / "c")
    cache.restore(restored)
    assert restored.batches == 3
    assert same(newer.load("wide"), restored.load("wide"))


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def _restate(entry: Path) -> None:
    document = json.loads((entry / "index.json").read_text())
    document["content"]["count"] += 1
    (entry / "index.json").write_text(json.dumps(document))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda entry: _flip(next(entry.rglob("*.safetensors"))),
    "a missing file": lambda entry: next(entry.rglob("*.safetensors")).unlink(),
    "a file that was cut off": lambda entry: next(entry.rglob("*.safetensors")).write_bytes(b"x"),
    "a missing index": lambda entry: (entry / "index.json").unlink(),
    "another count": _restate,
    "an index without JSON": lambda entry: (entry / "index.json").write_text("{"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_ignored_and_made_again(
    tmp_path: Path, cache: FisherCache, damage: str
) -> None:
    saved, restored = a_fisher(tmp_path / "a"), an_empty_fisher(tmp_path / "b")
    cache.save(saved)
    DAMAGES[damage](entry_of(cache))
    cache.restore(restored)
    assert (restored.batches, restored.count, list(restored.sums)) == (0, 0, [])
    cache.save(saved)
    cache.restore(restored)
    assert same(saved.load("matrix"), restored.load("matrix"))


def test_sums_of_other_shapes_or_that_others_can_write_are_ignored(
    tmp_path: Path, cache: FisherCache
) -> None:
    cache.save(a_fisher(tmp_path / "a"))
    restored = an_empty_fisher(tmp_path / "b")
    replace(cache, shapes={**SHAPES, "matrix": (4, 3)}).restore(restored)
    assert restored.batches == 0
    (entry_of(cache) / "index.json").chmod(0o666)
    cache.restore(restored)
    assert restored.batches == 0


def test_factors_of_long_sides_are_diagonal() -> None:
    assert factor_shapes((3, 2, 2)) == ((3, 3), (4, 4))
    assert factor_shapes((9000, 8)) == ((9000,), (8, 8))
    assert factor_shapes((7,)) == (None, (7,))


def test_gathering_continues_after_the_saved_batches_with_the_same_sums(tmp_path: Path) -> None:
    runner = Runner(causal_model(), None, causal=True, device="cpu")
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, LETTERS, (8, 2, 6), generator=draw)
    batches = [Batch(part, torch.ones_like(part)) for part in ids]
    tensors = {"model.layers.0.mlp.down_proj.weight", "lm_head.weight"}
    whole, halves = an_empty_fisher(tmp_path / "a"), an_empty_fisher(tmp_path / "b")
    saved: list[int] = []
    gather(runner, batches, tensors, whole, save=lambda fisher: saved.append(fisher.batches))
    assert len(saved) == PARTS
    gather(runner, batches[:4], tensors, halves)
    seen: list[int] = []
    layer = runner.model.model.layers[0].mlp.down_proj
    layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(output[..., 0].numel()))
    gather(runner, batches, tensors, halves)
    probe = 6
    assert sum(seen) == probe + sum(batch.tokens for batch in batches[4:])
    assert halves.count == whole.count
    assert all(same(whole.load(tensor), halves.load(tensor)) for tensor in tensors)
    assert run_determinants(runner, batches) != run_determinants(runner, batches[:4])
