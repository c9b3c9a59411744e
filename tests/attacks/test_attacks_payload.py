"""Packs with valid digests and false payloads."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest
import zstandard
from attack_worlds import (
    EMBED,
    NEW,
    NORM,
    QUERY,
    Forge,
    World,
    dump,
    make_layer,
    read_layer,
    refuse,
)


def _raw_frame(content: int, *, window_log: int | None = None) -> bytes:
    """A zstd frame header with a large claimed size, and one empty last block."""
    magic = (0xFD2FB528).to_bytes(4, "little")
    last = (1).to_bytes(3, "little")
    if window_log is None:
        return magic + bytes([0b11100000]) + content.to_bytes(8, "little") + last
    descriptor = bytes([0b11000000, (window_log - 10) << 3])
    return magic + descriptor + content.to_bytes(8, "little") + last


def _bombs(size: int) -> dict[str, bytes]:
    zeros = zstandard.ZstdCompressor(write_content_size=True)
    unsized = zstandard.ZstdCompressor(write_content_size=False)
    return {
        "a claim of very much": _raw_frame(1 << 62),
        "a claim of the right size with nothing in it": _raw_frame(size),
        "a window of two gigabytes": _raw_frame(size, window_log=31),
        "more than it claims": zeros.compress(bytes(1 << 24)),
        "no claim at all": unsized.compress(bytes(1 << 24)),
        "no frame": b"\x28\xb5\x2f\xfd",
        "a skippable frame": (0x184D2A50).to_bytes(4, "little") + bytes(4),
        "two frames": zeros.compress(bytes(size)) * 2,
        "something else": bytes(size),
        "nothing": b"",
    }


@pytest.mark.parametrize("scheme", ["lossless", "graftllm"])
@pytest.mark.parametrize("bomb", _bombs(1))
def test_zstd_bomb_is_refused(bomb: str, scheme: str, world: World, tmp_path: Path) -> None:
    forge = world.forge(scheme)
    number = forge.layer_of(QUERY)
    parts, records = read_layer(forge.layers[number][1])
    name = next(n for n in parts if n.startswith(QUERY))
    data = parts.pop(name)
    parts[name.removesuffix(".zst") + ".zst"] = _bombs(len(data))[bomb]
    forge.replace_layer(number, make_layer(parts, records))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuse(world, forge, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000


def _with_parts(forge: Forge, tensor: str, how: str) -> None:
    number = forge.layer_of(tensor)
    parts, records = read_layer(forge.layers[number][1])
    first = next(n for n in parts if n.startswith(f"{tensor}/"))
    if how == "missing":
        del parts[first]
    elif how == "further":
        parts[f"{tensor}/99p9"] = b"x"
    elif how == "of an unknown tensor":
        parts["unknown/0p0"] = b"x"
    elif how == "without a slash":
        parts["part"] = b"x"
    elif how == "longer":
        parts[first] += b"x"
    elif how == "shorter":
        parts[first] = parts[first][:-1]
    elif how == "plain and framed":
        other = first.removesuffix(".zst") if first.endswith(".zst") else first + ".zst"
        parts[other] = parts[first]
    forge.replace_layer(number, make_layer(parts, records))


@pytest.mark.parametrize("scheme", ["lossless", "graftllm"])
@pytest.mark.parametrize("tensor", [EMBED, QUERY, NORM, NEW])
@pytest.mark.parametrize("how", [
    "missing", "further", "of an unknown tensor", "without a slash",
    "longer", "shorter", "plain and framed",
])  # fmt: skip
def test_unexpected_parts_are_refused(
    how: str, tensor: str, scheme: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge(scheme)
    _with_parts(forge, tensor, how)
    refuse(world, forge, tmp_path)


RECORDS: dict[str, list[Any]] = {
    "lossless": [
        {"modes": "z"}, {"modes": ""}, {"modes": "q"}, {"modes": "dd"}, {"modes": 1},
        {"modes": "s"}, {"modes": "x"}, {"modes": "s", "counts": [0]}, {"counts": [1]},
        {"modes": "s", "counts": [2**40]}, {"modes": "s", "counts": [True]}, {"counts": None},
        {"modes": "s", "counts": [1.0]}, {"codec": "whole"}, {"codec": 1}, {"codec": "svd"},
        {"codec": "topk"},
    ],
    "graftllm": [
        {"columns": []}, {"columns": [[8, 2**40]]}, {"columns": [[1, 1]]}, {"columns": None},
        {"group": 2**40}, {"group": 0}, {"group": None}, {"left": 10**6}, {"left": -1000},
        {"right": 1.5}, {"codec": "topk"}, {"codec": "lossless"}, {"columns": [[8, -1], [8, 3]]},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "change"), [(scheme, one) for scheme, all_ in RECORDS.items() for one in all_]
)
def test_inconsistent_records_are_refused(
    scheme: str, change: dict[str, Any], world: World, tmp_path: Path
) -> None:
    forge = world.forge(scheme)
    number = forge.layer_of(QUERY)
    parts, records = read_layer(forge.layers[number][1])
    record = json.loads(records[QUERY]) | change
    if "codec" in change:
        forge.entry(QUERY)["codec"] = change["codec"]
    forge.replace_layer(number, make_layer(parts, records | {QUERY: dump(record).decode()}))
    refuse(world, forge, tmp_path)


@pytest.mark.parametrize("change", [
    {"counts": None}, {"counts": []}, {"counts": [-1]}, {"counts": [25]}, {"counts": [1.0]},
    {"counts": [0]}, {"exponent": 1001}, {"exponent": None}, {"exponent": 1000}, {"codec": "magic"},
])  # fmt: skip
def test_inconsistent_records_of_pruned_tensors_are_refused(
    change: dict[str, Any], world: World, tmp_path: Path
) -> None:
    forge = world.forge("graftllm")
    number = forge.layer_of(EMBED)
    parts, records = read_layer(forge.layers[number][1])
    record = json.loads(records[EMBED]) | change
    forge.entry(EMBED)["codec"] = record["codec"]
    forge.replace_layer(number, make_layer(parts, records | {EMBED: dump(record).decode()}))
    refuse(world, forge, tmp_path)


def test_stored_value_that_is_nan_or_inf_is_refused(world: World, tmp_path: Path) -> None:
    forge = world.forge("graftllm")
    number = forge.layer_of(EMBED)
    parts, records = read_layer(forge.layers[number][1])
    high = next(name for name in parts if "0v1" in name)
    count = json.loads(records[EMBED])["counts"][0]
    del parts[high]
    parts[f"{EMBED}/0v1"] = b"\x7c" * count
    forge.replace_layer(number, make_layer(parts, records))
    assert "kept value" in refuse(world, forge, tmp_path).message


@pytest.mark.parametrize("codec", ["topk", "svd"])
def test_lossy_codec_for_an_added_tensor_is_refused(
    codec: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    number = forge.layer_of(NEW)
    parts, records = read_layer(forge.layers[number][1])
    forge.entry(NEW)["codec"] = codec
    record = dump({"codec": codec}).decode()
    forge.replace_layer(number, make_layer(parts, records | {NEW: record}))
    assert "is only for changed floating point tensors" in refuse(world, forge, tmp_path).message


@pytest.mark.parametrize("record", ["", "[]", "{", '{"codec":"whole","codec":"whole"}', "[" * 9999])
def test_records_that_are_not_json_objects_are_refused(
    record: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    number = forge.layer_of(QUERY)
    parts, records = read_layer(forge.layers[number][1])
    forge.replace_layer(number, make_layer(parts, records | {QUERY: record}))
    refuse(world, forge, tmp_path)


@pytest.mark.parametrize("scales", [b"\x00\x7c", b"\x00\x7e", b"\xff\x7b"])
@pytest.mark.parametrize("part", ["sigma", "s"])
def test_scales_that_are_nan_or_inf_are_refused(
    scales: bytes, part: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge("graftllm")
    number = forge.layer_of(QUERY)
    parts, records = read_layer(forge.layers[number][1])
    for name, data in parts.items():
        if name.startswith(QUERY) and name.removesuffix(".zst").endswith(part):
            wide = b"\0\0" + scales if part == "sigma" else scales
            parts[name] = wide * (len(data) // len(wide))
    forge.replace_layer(number, make_layer(parts, records))
    refuse(world, forge, tmp_path)


@pytest.mark.parametrize("header", [
    b"\xff" * 8, b"\0" * 8, b"\x02" + bytes(7) + b"{}", b"\x02" + bytes(7) + b"[]", b"short", b"",
])  # fmt: skip
def test_layer_that_is_not_a_safetensors_file_is_refused(
    header: bytes, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.replace_layer(forge.layer_of(QUERY), header)
    refuse(world, forge, tmp_path)
