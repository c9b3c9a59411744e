import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from checkpoint_worlds import Tensors, file_of, tensors_file, write_file, write_sharded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skillpm.checkpoint.files import OpenFile
from skillpm.checkpoint.folder import is_graft, small_files
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import VerifiedCheckpoint, open_checkpoint, read_small
from skillpm.delta.tensors.ports import CHUNK
from skillpm.errors import IntegrityError, NotFoundError, SpecError, StateError
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity

A: Tensors = {"a": ("F32", [2], b"abcdefgh")}
B: Tensors = {"b": ("U8", [3], b"xyz")}
INDEX = "model.safetensors.index.json"


def _root(tensors: Tensors) -> str:
    """Leaf and root by the contract, in an independent implementation."""
    entries = []
    for name, (dtype, shape, raw) in tensors.items():
        text = json.dumps(shape).replace(" ", "")
        head = b"skillpm.leaf.v1\0" + dtype.encode() + b"\0" + text.encode() + b"\0"
        entries.append((name.encode(), hashlib.sha256(head + raw).digest()))

    def tree(nodes: list[bytes]) -> bytes:
        if len(nodes) == 1:
            return hashlib.sha256(b"\0" + nodes[0]).digest()
        half = 1
        while half * 2 < len(nodes):
            half *= 2
        return hashlib.sha256(b"\1" + tree(nodes[:half]) + tree(nodes[half:])).digest()

    return "sha256:" + tree([name + b"\0" + leaf for name, leaf in sorted(entries)]).hex()


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
kinds = st.sampled_from(
    [("U8", 1), ("F16", 2), ("BF16", 2), ("F32", 4), ("C64", 8), ("F8_E4M3", 1)]
)


@st.composite
def models(draw: st.DrawFn) -> Tensors:
    tensors: Tensors = {}
    for name in draw(st.sets(names.filter(lambda n: n != "__metadata__"), min_size=1, max_size=9)):
        dtype, size = draw(kinds)
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        count = size
        for side in shape:
            count *= side
        tensors[name] = (dtype, shape, draw(st.binary(min_size=count, max_size=count)))
    return tensors


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(models())
def test_root_matches_an_independent_implementation(tmp_path: Path, tensors: Tensors) -> None:
    path = write_file(tmp_path / "m.safetensors", tensors)
    assert str(identify(open_checkpoint(path)).root) == _root(tensors)


def test_sub_byte_tensors_have_leaves(tmp_path: Path) -> None:
    tensors: Tensors = {"f4": ("F4", [2, 4], b"abcd"), "f6": ("F6_E2M3", [4], b"xyz")}
    model = open_checkpoint(write_file(tmp_path / "m.safetensors", tensors))
    assert str(identify(model).root) == _root(tensors)
    assert b"".join(model.chunks("f4")) == b"abcd"


def test_large_tensor_is_read_in_chunks(tmp_path: Path) -> None:
    raw = bytes(range(256)) * (CHUNK // 128 + 1)
    tensors: Tensors = {"t": ("F16", [len(raw) // 2], raw)}
    model = open_checkpoint(write_file(tmp_path / "m.safetensors", tensors))
    assert [len(chunk) for chunk in model.chunks("t")] == [2 * CHUNK, 256]
    assert b"".join(model.chunks("t")) == raw


def test_root_is_independent_of_sharding_order_and_metadata(tmp_path: Path) -> None:
    one = tmp_path / "one.safetensors"
    one.write_bytes(tensors_file({**B, **A}, {"format": "pt"}))
    sharded = write_sharded(tmp_path / "s", {"x.safetensors": A, "y.safetensors": B})
    assert identify(open_checkpoint(one)).root == identify(open_checkpoint(sharded)).root


def _tensor(start: Any, stop: Any, dtype: Any = "U8", shape: Any = None) -> dict[str, Any]:
    sides = [stop - start] if shape is None else shape
    return {"dtype": dtype, "shape": sides, "data_offsets": [start, stop]}


@pytest.mark.parametrize(("header", "data", "message"), [
    ({"a": _tensor(0, 2), "b": _tensor(3, 4)}, b"1234", "a gap before 'b'"),
    ({"a": _tensor(1, 2)}, b"12", "a gap before 'a'"),
    ({"a": _tensor(0, 2), "b": _tensor(1, 3)}, b"123", "an overlap before 'b'"),
    ({"a": _tensor(0, 2)}, b"123", "but its header"),
    ({"a": _tensor(0, 2)}, b"1", "but its header"),
    (b'{"a":1,"a":2}', b"", "duplicate key"),
    ({"a": _tensor(0, 1, "F5")}, b"1", "F5"),
    ({"a": _tensor(0, 1, ["U8"])}, b"1", "not a valid tensor"),
    ({"a": _tensor(0, 1, shape=[2])}, b"1", "has 1 bytes, expected 2"),
    ({"a": _tensor(0, 1, shape=[-1])}, b"1", "not a valid tensor"),
    ({"a": _tensor(0, 1, shape=[True])}, b"1", "not a valid tensor"),
    ({"a": _tensor(0, 1, shape="1")}, b"1", "not a valid tensor"),
    ({"a": _tensor(0, 1, shape=[1] * 40)}, b"1", "not a valid tensor"),
    ({"a": _tensor(2, 1, shape=[1])}, b"1", "has -1 bytes"),
    ({"a": {"dtype": "U8"}}, b"", "has no dtype"),
    ({"a": []}, b"", "has no dtype"),
    ({"": _tensor(0, 1)}, b"1", "not a valid tensor"),
    ({"a\0": _tensor(0, 1)}, b"1", "not a valid tensor"),
    ({"__metadata__": {"a": 1}, "a": _tensor(0, 1)}, b"1", "__metadata__"),
    ({"__metadata__": [], "a": _tensor(0, 1)}, b"1", "__metadata__"),
    ({}, b"", "contains no tensors"),
    (b"[]", b"", "expected a JSON object"),
    (b"{", b"", "not JSON"),
])  # fmt: skip
def test_inconsistent_header_is_refused(
    header: Any, data: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(file_of(header, data))
    with pytest.raises(SpecError, match=message):
        open_checkpoint(path)


@pytest.mark.parametrize("data", [
    b"", b"1234567", file_of({}, b"", length=2**63), file_of({}, b"", length=3),
    file_of(b"", b""), file_of({}, b"", length=64_000_001),
])  # fmt: skip
def test_header_of_a_false_length_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(SpecError):
        open_checkpoint(path)


@pytest.mark.parametrize(("index", "message"), [
    ({"weight_map": {"a": "x.safetensors"}}, "disagree"),
    ({"weight_map": {"a": "x.safetensors", "b": "x.safetensors"}}, "which shard contains 'b'"),
    ({"weight_map": {"a": "x.safetensors", "b": "y.safetensors", "c": "y.safetensors"}}, "'c'"),
    ({"weight_map": {"a": "../s/x.safetensors"}}, "must map tensors to names"),
    ({"weight_map": {"a": "x.bin"}}, "must map tensors to names"),
    ({"weight_map": {"a": 1}}, "must map tensors to names"),
    ({"weight_map": []}, "weight_map"),
    ({"weight_map": None}, "weight_map"),
    ({"weight_map": {}}, "contains no tensors"),
])  # fmt: skip
def test_index_that_disagrees_with_its_shards_is_refused(
    index: dict[str, Any], message: str, tmp_path: Path
) -> None:
    shards = {"x.safetensors": A, "y.safetensors": B}
    if message == "disagree":
        shards["x.safetensors"] = {**A, "more": B["b"]}
    with pytest.raises(SpecError, match=message):
        open_checkpoint(write_sharded(tmp_path / "s", shards, **index))


def test_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    shards = {"x.safetensors": {**A, **B}, "y.safetensors": {**A, "c": B["b"]}}
    with pytest.raises(SpecError, match="is in both"):
        open_checkpoint(write_sharded(tmp_path / "s", shards))


def test_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path / "s", {"x.safetensors": A, "y.safetensors": B})
    (folder / "y.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"y\.safetensors"):
        open_checkpoint(folder)


def test_model_of_a_folder_is_the_one_that_transformers_loads(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path / "s", {"x.safetensors": A, "y.safetensors": B})
    write_file(folder / "extra.safetensors", {"z": B["b"]})
    assert set(open_checkpoint(folder).specs) == {"a", "b"}
    write_file(folder / "model.safetensors", A)
    assert set(open_checkpoint(folder).specs) == {"a"}
    (folder / "model.safetensors").unlink()
    (folder / INDEX).unlink()
    with pytest.raises(SpecError, match="3 safetensors files"):
        open_checkpoint(folder)
    (folder / "x.safetensors").unlink()
    (folder / "y.safetensors").unlink()
    assert set(open_checkpoint(folder).specs) == {"z"}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "m.pt", "m.pth", "m.ckpt", "m.pkl", "M.BIN"])
def test_pickles_are_refused_with_a_hint(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(SpecError, match="run code") as problem:
            open_checkpoint(path)
        assert "save_pretrained" in str(problem.value.hint)


def test_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no safetensors model"):
        open_checkpoint(tmp_path)
    with pytest.raises(NotFoundError, match="no model at"):
        open_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(("config", "architecture"), [
    ({"architectures": ["Bert"], "model_type": "bert"}, "Bert"), ({"model_type": "bert"}, "bert"),
    ({"architectures": []}, "unknown"), ({"architectures": "x"}, "unknown"), (None, "unknown"),
])  # fmt: skip
def test_architecture_comes_from_the_config(config: Any, architecture: str, tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", A)
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    model = open_checkpoint(tmp_path)
    assert (model.architecture, model.name) == (architecture, tmp_path.name)


def test_model_changed_after_identification_is_an_integrity_error(tmp_path: Path) -> None:
    model = open_checkpoint(write_file(tmp_path / "m.safetensors", A))
    identity = identify(model)
    assert b"".join(VerifiedCheckpoint.of(model, identity).chunks("a")) == A["a"][2]
    other = open_checkpoint(
        write_file(tmp_path / "other.safetensors", {"a": ("F32", [2], b"abcdefgX")})
    )
    with pytest.raises(IntegrityError, match="has changed"):
        list(VerifiedCheckpoint.of(other, identity).chunks("a"))


def test_checkpoint_is_held_to_its_first_read(tmp_path: Path) -> None:
    path = write_file(tmp_path / "m.safetensors", {**A, "b": ("U8", [2], b"xy")})
    model = open_checkpoint(path)
    asked: list[dict[str, Digest]] = []

    def rest(leaves: Mapping[str, Digest]) -> Identity:
        asked.append(dict(leaves))
        return identify(model, leaves=leaves)

    read = VerifiedCheckpoint.first_read(model, rest)
    assert b"".join(read.chunks("a")) == A["a"][2]
    assert read.identity == identify(model) == read.identity
    assert asked == [{"a": identify(model).leaves["a"]}]


def test_tensor_that_changes_after_its_first_read_is_an_integrity_error(tmp_path: Path) -> None:
    path = write_file(tmp_path / "m.safetensors", {**A, "b": ("U8", [2], b"xy")})
    model = open_checkpoint(path)
    read = VerifiedCheckpoint.first_read(model, lambda leaves: identify(model, leaves=leaves))
    list(read.chunks("a"))
    path.write_bytes(path.read_bytes().replace(A["a"][2], bytes(len(A["a"][2]))))
    with pytest.raises(IntegrityError, match="has changed"):
        list(read.chunks("a"))


def test_small_files_exclude_weights_and_hidden_files(tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", A)
    names = ["config.json", "pytorch_model.bin", ".hidden", "1_Pooling/config.json", ".git/x",
             "pytorch_model.bin.index.json", "onnx/model.onnx", "vocab.txt", INDEX,
             "2_Dense/model.safetensors"]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    small = ["config.json", "vocab.txt"]
    found = [str(path) for path in small_files(open_checkpoint(tmp_path))]
    assert found == [*small, "1_Pooling/config.json", "2_Dense/model.safetensors"]
    assert not list(small_files(open_checkpoint(tmp_path / "model.safetensors")))
    assert not is_graft(tmp_path)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(SpecError, match="not a regular file"):
            OpenFile(path)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(NotFoundError):
        OpenFile(tmp_path / "none")
    with pytest.raises(StateError):
        OpenFile(tmp_path / "file" / "inside")


def test_truncated_open_file_is_an_integrity_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = OpenFile(path)
    assert file.read(2, 5) == b"234"
    os.truncate(path, 4)
    with pytest.raises(IntegrityError, match="ended at byte 4"):
        file.read(2, 8)


def test_small_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"")
    os.truncate(path, 64_000_001)
    with pytest.raises(SpecError, match="64000001 bytes"):
        read_small(path)
