"""`skillpm.delta.encode` and `apply`: exact deltas of dictionaries of tensors, in memory."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from skillpm.delta.encoding.effort import EFFORTS, Effort
from skillpm.delta.memory.container import MAGIC
from skillpm.delta.memory.deltas import apply, encode
from skillpm.delta.memory.tensors import DTYPES
from skillpm.errors import GraftError, IntegrityError, SkillpmError, SpecError, UsageError

TORCH_DTYPES = [getattr(torch, name) for name in DTYPES if hasattr(torch, name)]
NUMPY_DTYPES = [np.dtype(name) for name in DTYPES if "float8" not in name and name != "bfloat16"]


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(actual: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype
        assert actual[name].shape == tensor.shape
        assert bits(actual[name]) == bits(tensor)


def model(seed: int, *, change: float = 0.0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    weights = {
        "embed": torch.randn(300, 40, generator=random),
        "layer.weight": torch.randn(64, 40, generator=random),
        "norm": torch.ones(40),
    }
    moved = torch.Generator().manual_seed(seed + 1)
    for weight in weights.values():
        weight.add_(change * torch.randn(weight.shape, generator=moved))
    return {name: weight.to(torch.bfloat16) for name, weight in weights.items()}


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("workers", [1, 3, None])
def test_a_delta_gives_the_tensors_after_the_change(effort: Effort, workers: int | None) -> None:
    before, after = model(1), model(1, change=1e-3)
    delta = encode(before, after, effort=effort, workers=workers)
    assert len(delta) < sum(tensor.nbytes for tensor in after.values())
    assert_same(apply(before, delta, workers=workers), after)


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_number_of_threads_does_not_change_a_delta(effort: Effort) -> None:
    before, after = model(1), model(1, change=1e-3)
    deltas = {encode(before, after, effort=effort, workers=count) for count in (1, 2, 5)}
    assert len(deltas) == 1


@pytest.mark.parametrize("dtype", TORCH_DTYPES, ids=str)
def test_every_dtype_of_torch_comes_back(dtype: torch.dtype) -> None:
    random = np.random.default_rng(3)
    raw = torch.from_numpy(random.integers(0, 2, (2, 96), dtype=np.uint8))
    if dtype != torch.bool:
        raw = torch.from_numpy(random.integers(0, 256, (2, 96), dtype=np.uint8))
    old, new = (half.view(dtype) for half in raw)
    assert_same(apply({"w": old}, encode({"w": old}, {"w": new})), {"w": new})


@given(st.data(), st.sampled_from(NUMPY_DTYPES), st.sampled_from(EFFORTS))
def test_numpy_arrays_come_back(data: st.DataObject, dtype: np.dtype[Any], effort: Effort) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    old, new = (data.draw(arrays.arrays(dtype, shape)) for _ in range(2))
    result = apply({"w": old}, encode({"w": old}, {"w": new}, effort=effort))["w"]
    assert isinstance(result, np.ndarray)
    assert (result.dtype, result.shape) == (dtype, shape)
    assert result.tobytes() == new.tobytes()


def test_tensors_may_be_added_removed_and_resized() -> None:
    before = {"gone": torch.ones(3), "grown": torch.ones(2, 4), "kept": torch.zeros(5)}
    grown = torch.cat([before["grown"], torch.full((3, 4), 2.0)])
    after = {"grown": grown, "kept": before["kept"], "new": torch.arange(6.0).reshape(2, 3)}
    result = apply(before, encode(before, after))
    assert_same(result, after)
    assert result["kept"] is before["kept"]


def test_everything_can_be_added_or_removed() -> None:
    tensors: dict[str, Any] = {"a": np.arange(4.0), "b": np.arange(3)}
    everything: dict[str, Any] = apply({}, encode({}, tensors))
    assert {name: array.tolist() for name, array in everything.items()} == {
        "a": [0.0, 1.0, 2.0, 3.0],
        "b": [0, 1, 2],
    }
    assert apply(tensors, encode(tensors, {})) == {}


def test_tensors_added_to_nothing_are_of_the_library_that_they_were_encoded_from() -> None:
    after = model(1)
    assert_same(apply({}, encode({}, after)), after)
    arrays_only: dict[str, Any] = apply({}, encode({}, {"a": np.ones(2)}))
    assert isinstance(arrays_only["a"], np.ndarray)


def test_tensors_added_to_others_are_of_the_library_of_the_first_of_those() -> None:
    old, new = torch.zeros(2), torch.ones(3)
    delta = encode({"w": old}, {"w": old, "new": new})
    before: dict[str, Any] = {"w": old.numpy()}
    result = apply(before, delta)
    assert isinstance(result["new"], np.ndarray)
    assert result["new"].tolist() == [1.0, 1.0, 1.0]


def test_a_process_imports_torch_only_for_a_delta_of_torch_tensors(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
import skillpm.delta
sys.modules.update(dict.fromkeys(sys.argv[2:]))
tensors = skillpm.delta.apply({}, Path(sys.argv[1]).read_bytes())
print(type(tensors["w"]).__name__, "torch" in sys.modules)
"""
    kinds = {"torch": torch.ones(2), "numpy": np.ones(2)}
    for name, tensor in kinds.items():
        (tmp_path / name).write_bytes(encode({}, {"w": tensor}))

    def applied(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert applied("torch").stdout == "Tensor True\n"
    assert applied("numpy").stdout == "ndarray False\n"
    assert "UsageError: the delta has torch tensors" in applied("torch", "torch").stderr


def test_a_delta_without_a_change_returns_the_same_tensors() -> None:
    before = model(1)
    result = apply(before, encode(before, model(1)))
    assert all(result[name] is tensor for name, tensor in before.items())
    assert result is not before


def test_tensors_that_are_not_in_the_delta_pass_through() -> None:
    before, after = model(1), model(1, change=1e-3)
    beside = torch.ones(2)
    result = apply({**before, "beside": beside}, encode(before, after))
    assert result["beside"] is beside


def test_tensors_are_read_in_any_memory_layout() -> None:
    before = {"w": torch.arange(12.0).reshape(3, 4).t(), "big": torch.ones(3, 1).expand(3, 5)}
    after = {"w": before["w"] + 1, "big": before["big"] * 3}
    assert_same(apply(before, encode(before, after)), after)
    swapped = {"w": np.arange(6, dtype=">i4")}
    result = apply(swapped, encode(swapped, {"w": np.arange(1, 7, dtype=">i4")}))
    assert result["w"].tolist() == [1, 2, 3, 4, 5, 6]


def test_the_tensors_before_are_not_written() -> None:
    before = model(1)
    kept = {name: tensor.clone() for name, tensor in before.items()}
    result = apply(before, encode(before, model(1, change=1e-2)))
    for tensor in result.values():
        tensor.zero_()
    assert_same(before, kept)


def test_a_delta_against_other_tensors_is_refused() -> None:
    before, after = model(1), model(1, change=1e-3)
    delta = encode(before, after)
    with pytest.raises(IntegrityError, match="not the tensor that the delta was encoded against"):
        apply(after, delta)
    with pytest.raises(IntegrityError, match="`embed` is missing"):
        apply({name: tensor for name, tensor in before.items() if name != "embed"}, delta)
    with pytest.raises(IntegrityError, match="not the tensor that the delta was encoded against"):
        apply({name: tensor.float() for name, tensor in before.items()}, delta)


@given(st.integers(0, 2**31), st.integers(1, 255))
def test_a_damaged_delta_is_refused(position: int, flip: int) -> None:
    before, after = model(1), model(1, change=1e-3)
    delta = bytearray(encode(before, after))
    delta[position % len(delta)] ^= flip
    try:
        result = apply(before, bytes(delta))
    except SkillpmError:
        return
    assert_same(result, after)  # e.g. an unknown key of the footprint, which is ignored


def test_a_cut_off_delta_is_refused() -> None:
    before, after = model(1), model(1, change=1e-3)
    delta = encode(before, after)
    for size in (0, 5, len(MAGIC), len(MAGIC) + 8, len(MAGIC) + 100, len(delta) - 1):
        with pytest.raises(SkillpmError):
            apply(before, delta[:size])
    with pytest.raises(IntegrityError, match="recorded digest"):
        apply(before, delta + b"x")


def test_a_footprint_that_claims_a_huge_tensor_takes_no_memory() -> None:
    before = {"w": np.zeros(4, dtype=np.float32)}
    delta = encode(before, {"w": np.zeros((4,), np.float32), "new": np.zeros(3, np.float32)})
    assert b'"shape":[3]' in delta
    grown = delta.replace(b'"shape":[3]', b'"shape":[1152921504606846975]')
    length = len(MAGIC)
    size = int.from_bytes(delta[length : length + 8], "little") + len(grown) - len(delta)
    grown = MAGIC + size.to_bytes(8, "little") + grown[length + 8 :]
    with pytest.raises((IntegrityError, SpecError)):
        apply(before, grown)


def test_another_dtype_is_refused() -> None:
    before = {"w": torch.ones(3)}
    with pytest.raises(GraftError, match="`w` is F16, expected F32"):
        encode(before, {"w": torch.ones(3).half()})


@pytest.mark.parametrize(
    "value", [[1.0, 2.0], torch.ones(2).to_sparse(), torch.ones(2, device="meta"), np.array(["a"])]
)
def test_a_value_that_is_not_a_dense_tensor_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="`w` is"):
        encode({"w": value}, {"w": value})


def test_numpy_says_which_dtype_it_does_not_have() -> None:
    before = {"w": np.zeros(2, dtype=np.float32)}
    delta = encode({"w": torch.zeros(2)}, {"w": torch.zeros(2), "b": torch.ones(2).bfloat16()})
    with pytest.raises(UsageError, match="`b` is BF16, which numpy does not have"):
        apply(before, delta)


def test_an_empty_placeholder_of_a_sharded_optimizer_is_refused() -> None:
    with pytest.raises(GraftError, match="placeholder of ZeRO-3"):
        encode({"w": torch.ones(3, 3)}, {"w": torch.ones(0)})
