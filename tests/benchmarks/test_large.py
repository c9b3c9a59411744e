"""The models of the benchmark of large shapes."""

from pathlib import Path

import numpy as np

from benchmarks.large.synthetic import make, shapes_70b, shapes_experts
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint


def test_every_tensor_of_the_tuned_model_differs_from_its_base(tmp_path: Path) -> None:
    make(tmp_path, [{"model.embed_tokens.weight": (600, 32)}, {"model.norm.weight": (4096,)}])
    base, tuned = (identify(open_checkpoint(tmp_path / name)) for name in ("base", "tuned"))
    assert base.specs == tuned.specs
    assert not base.leaves.items() & tuned.leaves.items()


def test_shapes_are_those_that_the_benchmark_states() -> None:
    large = {name: shape for shard in shapes_70b() for name, shape in shard.items()}
    assert large["model.embed_tokens.weight"] == large["lm_head.weight"] == (128256, 8192)
    assert 2 * sum(int(np.prod(shape)) for shape in large.values()) // 10**8 == 76
    assert sum(len(shard) for shard in shapes_experts()) == 40032
