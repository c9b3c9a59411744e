"""Samples are parts of the tensors that differ, read without the rest."""

from pathlib import Path

import numpy as np
import pytest
import torch
from file_sessions import session_in
from plain_models import plain_tensors, write_plain, write_tuned

from skillpm.checkpoint.model import Checkpoint
from skillpm.delta.auto.stand_in import StandIn
from skillpm.delta.auto.weights import WIDEST
from skillpm.delta.tensors.pairing import Pair
from skillpm.flows.pack import samples
from skillpm.flows.pack.model_pair import ModelPair, PackRequest
from skillpm.flows.pack.sampled_run import Sampling, peak_bytes, resident_bytes, scaled
from skillpm.flows.pack.samples import group_tensors, read_sample, spec_of
from skillpm.flows.pack.unhashed import pair_unhashed
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def models(tmp_path: Path) -> ModelPair:
    request = PackRequest(
        write_plain(tmp_path / "base", plain_tensors()),
        write_tuned(tmp_path / "tuned", "mlp"),
        SkillName.parse("acme/x"),
        Version.parse("1.0.0"),
    )
    return pair_unhashed(session_in(tmp_path), request).models


def pair_of(models: ModelPair, name: str = NAME) -> Pair:
    return next(pair for pair in models.differing if pair.tensor == name)


def values(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(data, dtype=np.float32).reshape(shape)


def test_tensors_that_differ_are_found_without_hashing(models: ModelPair) -> None:
    changed = {name for name in plain_tensors() if "mlp" in name}
    assert {pair.tensor for pair in models.differing} == changed


def test_large_models_are_compared_by_pieces(
    models: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillpm.flows.pack.unhashed.COMPARED", 0)
    monkeypatch.setattr("skillpm.flows.pack.unhashed._PIECE", 4)
    again = pair_unhashed(session_in(models.request.base.parent), models.request).models
    assert again.differing == models.differing


def test_groups_are_tensors_whose_names_differ_in_numbers(models: ModelPair) -> None:
    groups = group_tensors(models.differing, samples.ENTRIES)
    assert sorted(len(group.pairs) for group in groups) == [2, 2]
    assert all(group.sampled == group.pairs for group in groups)
    single = group_tensors(models.differing, 1)
    assert all(len(group.sampled) == 1 for group in single)
    assert all({near for _, near in group.nearest()} == set(group.sampled) for group in single)


def test_many_kinds_of_names_are_grouped_by_module() -> None:
    specs = [TensorSpec(f"{'x' * n}.mlp.up.weight", "F32", (4, 4)) for n in range(1, 100)]
    pairs = [Pair(spec.name, spec, spec) for spec in specs]
    (group,) = group_tensors(pairs, 64)
    assert group.pairs == tuple(pairs)
    assert len(group.sampled) == 4


def test_a_sample_has_rows_from_the_whole_tensor(models: ModelPair) -> None:
    sample = read_sample(models, pair_of(models), entries=8 * 16)
    whole = plain_tensors()[NAME]
    found = values(sample.base.data[NAME], (8, 16))
    places = [int(np.flatnonzero((whole == row).all(axis=1))[0]) for row in found]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, len(whole) - 1)
    assert sample.share == pytest.approx(whole.size / found.size)
    assert sample.base.data[NAME] != sample.tuned.data[NAME]


def test_a_square_sample_keeps_the_ratio_of_rows_to_columns(models: ModelPair) -> None:
    sample = read_sample(models, pair_of(models), entries=96, is_square=True)
    rows, columns = spec_of(sample.pair).shape
    assert (rows, columns) == (12, 8)
    first = values(sample.base.data[NAME], (rows, columns))[0]
    assert np.array_equal(first, plain_tensors()[NAME][0, :columns])


def test_a_sample_of_a_row_that_is_too_wide_has_its_first_columns(models: ModelPair) -> None:
    sample = read_sample(models, pair_of(models), entries=6)
    assert spec_of(sample.pair).shape == (1, 6)
    whole = plain_tensors()[NAME]
    assert np.array_equal(values(sample.base.data[NAME], (6,)), whole[0, :6])
    assert sample.share == pytest.approx(whole.size / 6)


def test_a_source_without_ranges_gives_the_same_sample(models: ModelPair) -> None:
    class Whole:
        """Reads tensors only from their start."""

        def __init__(self, source: Checkpoint) -> None:
            self.specs = source.specs
            self.chunks = source.chunks

    assert isinstance(models.tuned, Checkpoint)
    cut = samples._Cut.of(models.tuned.specs[NAME], 96, is_square=True)
    expected = cut.read(models.tuned, models.tuned.specs[NAME])
    assert cut.read(Whole(models.tuned), models.tuned.specs[NAME]) == expected


def test_a_small_tensor_is_sampled_whole(models: ModelPair) -> None:
    sample = read_sample(models, pair_of(models))
    assert sample.share == 1
    assert b"".join(sample.base.chunks(NAME)) == plain_tensors()[NAME].tobytes()


@pytest.mark.parametrize(
    ("points", "entries", "seconds"),
    [
        ([(10, 2.0)], 100, 20.0),
        ([(10, 2.0), (20, 3.0)], 100, 11.0),
        ([(10, 3.0), (20, 2.0)], 100, 2.0),
        ([(4, 1.0), (16, 7.0)], 16, 7.0),
    ],
)
def test_seconds_grow_with_entries(
    points: list[tuple[float, float]], entries: float, seconds: float
) -> None:
    assert scaled(points, entries) == pytest.approx(seconds)


def test_a_stand_in_metric_is_positive_definite_and_full() -> None:
    metric = StandIn().metric("a.weight", (24, 16))
    assert [tuple(side.factor.shape) for side in metric.sides] == [(24, 24), (16, 16)]
    for side in metric.sides:
        assert float(torch.linalg.eigvalsh(side.factor).min()) > 0
    wide = StandIn().metric("a.weight", (1, WIDEST + 1))
    assert [side.factor.ndim for side in wide.sides] == [1, 1]
    assert StandIn().settings.keys() == {"calibration", "tokens"}


def test_samples_report_how_many_processors_they_keep_busy() -> None:
    sampling = Sampling(2)
    assert sampling.parallelism == 1
    assert sampling.map(lambda number: sum(range(number * 100_000)), [3, 4])[0] > 0
    assert 0 < sampling.parallelism <= 2


def test_memory_is_that_of_this_process() -> None:
    assert 0 < resident_bytes() <= 2 * peak_bytes()
