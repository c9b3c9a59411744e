import argparse

import pytest
import torch

from benchmarks.tensors.main import SCHEMES, STEPS, compare_svd, time_schemes, whole
from benchmarks.tensors.timed import packed, synthetic


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tensor_is_packed_and_every_step_is_timed(scheme: str) -> None:
    tensor = synthetic("model.layers.0.mlp.down_proj.weight", 64, 96)
    found = packed(tensor, scheme)
    assert 0 < found.size < tensor.spec.nbytes
    assert set(found.seconds) <= set(STEPS)
    assert all(seconds >= 0 for seconds in found.seconds.values())
    assert whole(found.seconds, auto=scheme.startswith("auto")) > 0


def test_tensors_of_every_shape_are_timed_and_decompositions_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = argparse.Namespace(width=64, inner=96, schemes=["graftllm"], append=None)
    time_schemes(asked)
    compare_svd(synthetic("a.weight", 128, 128), None)
    shown = capsys.readouterr().out
    assert "topk" in shown
    assert "rel. error at rank 64" in shown
