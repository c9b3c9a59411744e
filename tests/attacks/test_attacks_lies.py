"""Packs whose digests all hold, and whose documents or payloads lie."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest
import zstandard
from attack_worlds import (
    BUFFER,
    EMBED,
    NEW,
    NORM,
    QUERY,
    Change,
    Forge,
    World,
    dump,
    make_layer,
    read_layer,
)

from skillpm.errors import SkillpmError, SpecError
from skillpm.spec import oci

ZERO = "sha256:" + "0" * 64
DEEP = b'{"summary":' + b"[" * 70 + b"]" * 70 + b"}"


def _refuse(world: World, forge: Forge, tmp_path: Path) -> SkillpmError:
    with pytest.raises(SkillpmError) as problem:
        world.verify(forge.write(tmp_path / "lie.skillpack"))
    return problem.value


def _entry(tensor: str, /, **changes: Any) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        next(one for one in manifest["footprint"] if one["tensor"] == tensor).update(changes)

    return change


def _top(**changes: Any) -> Change:
    return lambda manifest: manifest.update(changes)


def _within(key: str, **changes: Any) -> Change:
    return lambda manifest: manifest[key].update(changes)


LIES = {
    "a shape of as many elements": _entry(EMBED, shape=[4, 6]),
    "a shape that is larger": _entry(EMBED, shape=[60, 4]),
    "a shape that is negative": _entry(EMBED, shape=[-6, -4]),
    "a shape of fractions": _entry(EMBED, shape=[6.0, 4]),
    "a shape beyond any file": _entry(NEW, shape=[2**40, 2**40]),
    "a shape of very many dimensions": _entry(NEW, shape=[2**62] * 200_000),
    "a shape of many ones": _entry(NEW, shape=[1] * 40),
    "an empty shape with huge sides": _entry(EMBED, change="resized", shape=[0, 2**62]),
    "an added tensor that is huge": _entry(NEW, shape=[2**20, 2**12]),
    "a resized tensor that is huge": _entry(EMBED, change="resized", shape=[2**28, 4]),
    "another rank": _entry(EMBED, change="resized", shape=[24]),
    "another dtype": _entry(EMBED, dtype="I32"),
    "a dtype of another size": _entry(EMBED, dtype="F16"),
    "a dtype that nobody has": _entry(EMBED, dtype="F7"),
    "another codec": _entry(EMBED, codec="whole"),
    "a codec that nobody has": _entry(EMBED, codec="magic"),
    "another layer": _entry(EMBED, layer=ZERO),
    "no layer": _entry(EMBED, layer=None),
    "no leaf": _entry(EMBED, leaf=None),
    "another result": _entry(EMBED, result=ZERO),
    "no result": _entry(EMBED, result=None),
    "an added tensor that the base has": _entry(EMBED, change="added", leaf=None),
    "a changed tensor that the base lacks": _entry(NEW, change="changed", leaf=ZERO),
    "a removal with a result": _entry(BUFFER, result=ZERO),
    "a removal of what is there": _entry(NORM, change="removed", result=None, layer=None),
    "a change of another kind": _entry(EMBED, change="swapped"),
    "another tensor": _entry(EMBED, tensor=QUERY),
    "a tensor of no name": _entry(EMBED, tensor=""),
    "a tensor with a NUL": _entry(EMBED, tensor="a\0b"),
    "a tensor that is metadata": _entry(NEW, tensor="__metadata__"),
    "another root": _top(result_root=ZERO),
    "no digest for a root": _top(result_root="sha256:xyz"),
    "upper case in a digest": _top(result_root="sha256:" + "A" * 64),
    "another base": _within("base", root=ZERO),
    "fewer payload bytes": _within("compression", payload_bytes=1),
    "negative payload bytes": _within("compression", payload_bytes=-1),
    "a number that is infinite in words": _within("compression", ratio="Infinity"),
    "an integer beyond every float": _within("compression", ratio=10**400),
    "no footprint": _top(footprint=[]),
    "a format of the future": _top(format=2),
    "a format that is true": _top(format=True),
    "a format that is a fraction": _top(format=1.0),
    "over without requires": _top(
        over=[{"skill": "acme/low", "version": "1.0.0", "digest": ZERO}]
    ),
    "over what is nowhere": _top(
        over=[{"skill": "acme/low", "version": "1.0.0", "digest": ZERO}],
        requires=["acme/low =1.0.0"],
    ),
    "requires that are no requirement": _top(requires=["acme/low >>1"]),
    "a skill with dots": _top(skill="../../etc/passwd"),
    "a skill in other letters": _top(skill="асme/math"),
    "a skill with a control character": _top(skill="acme/ma\x1bth"),
    "a version that is none": _top(version="1"),
    "a version with build metadata": _top(version="1.0.0+x"),
    "a missing key": lambda manifest: manifest.pop("base"),
    "a list for an object": _top(base=[]),
    "an unknown kind of module": _within("compression", modules={"brain": {}}),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_refused(lie: str, world: World, tmp_path: Path) -> None:
    forge = world.forge()
    LIES[lie](forge.manifest)
    assert _refuse(world, forge, tmp_path).message


def test_every_problem_of_a_manifest_is_told_at_once(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    for lie in ("a format that is true", "no digest for a root", "a version that is none"):
        LIES[lie](forge.manifest)
    message = _refuse(world, forge, tmp_path).message
    assert all(path in message for path in ("format:", "result_root:", "version:"))


def test_a_future_format_names_the_version_that_reads_it(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.manifest["format"] = 2
    assert "format 2" in str(_refuse(world, forge, tmp_path).hint)


@pytest.mark.parametrize("path", [
    "../x", "x.py", ".hidden", "model.safetensors.index.json", "adapter_config.json", "a/b.json",
    "a\\b.json", "/etc/x.json", "config.json\n", "cоnfig.json", "\u202egnosj.txt",
    "con\x1bfig.json", "", ".", "..", "x", "x.json.py", "Adapter_Config.JSON", "a\0.json",
    ".skillpm-graft.json", "x.safetensors", "pytorch_model.bin.index.json", "x" * 200 + ".json",
])  # fmt: skip
def test_side_files_of_other_names_are_refused(path: str, world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.manifest["files"][0]["path"] = path
    assert "files[0].path" in _refuse(world, forge, tmp_path).message


@pytest.mark.parametrize("patch", [
    b'{"auto_map":{"AutoModel":"evil.Model"}}', b'{"a":{"b":[{"auto_map":1}]}}', b"[]", b"{",
    b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b"\xff", b"[" * 100_000,
    b"[" * 70 + b"]" * 70, b'{"auto\\u005fmap":{}}',
])  # fmt: skip
@pytest.mark.parametrize("kind", ["merge-patch", "file"])
def test_side_files_of_unsound_content_are_refused(
    patch: bytes, kind: str, world: World, tmp_path: Path
) -> None:
    if (patch, kind) == (b"[]", "file"):
        pytest.skip("a file may hold a list")
    forge = world.forge()
    forge.manifest["files"][0] |= {"kind": kind, "path": "generation_config.json"}
    number = next(n for n, (media, _) in enumerate(forge.layers) if media == oci.FILE_TYPE)
    forge.replace_layer(number, patch)
    _refuse(world, forge, tmp_path)


@pytest.mark.parametrize("raw", [
    b"", b"[]", b"null", DEEP, b"[" * 1_000_000, b'{"format":1,"format":1}', b'{"format":NaN}',
    b'{"format":-Infinity}', b'{"format":' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}", b'{"a":"\x00"}',
    b'{"skill":"\\ud83d"}',
])  # fmt: skip
def test_a_manifest_that_is_hardly_json_is_refused(
    raw: bytes, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.raw_manifest = raw or b" "
    with pytest.raises(SpecError):
        world.verify(forge.write(tmp_path / "a"))


def test_a_manifest_over_the_limit_is_refused(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.raw_manifest = dump(forge.manifest) + b" " * 64_000_001
    with pytest.raises(SpecError, match="64000000"):
        world.verify(forge.write(tmp_path / "a"))


def test_a_key_that_stands_twice_among_very_many_is_found_at_once() -> None:
    from skillpm.spec import json as limited

    keys = ",".join(f'"{n}":0' for n in range(300_000))
    with pytest.raises(SpecError, match="'x' stands twice"):
        limited.parse(f'{{{keys},"x":0,"x":0}}'.encode(), "the document")


def _raw_frame(content: int, *, window_log: int | None = None) -> bytes:
    """A zstd frame header that claims much, with one empty last block."""
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
def test_a_frame_that_is_a_bomb_is_refused(
    bomb: str, scheme: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge(scheme)
    number = forge.layer_of(QUERY)
    parts, records = read_layer(forge.layers[number][1])
    name = next(n for n in parts if n.startswith(QUERY))
    data = parts.pop(name)
    parts[name.removesuffix(".zst") + ".zst"] = _bombs(len(data))[bomb]
    forge.replace_layer(number, make_layer(parts, records))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _refuse(world, forge, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000


def _with_parts(forge: Forge, tensor: str, how: str) -> None:
    number = forge.layer_of(tensor)
    parts, records = read_layer(forge.layers[number][1])
    first = next(n for n in parts if n.startswith(f"{tensor}/"))
    if how == "missing":
        del parts[first]
    elif how == "further":
        parts[f"{tensor}/99p9"] = b"x"
    elif how == "of nobody":
        parts["nobody/0p0"] = b"x"
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
    "missing", "further", "of nobody", "without a slash", "longer", "shorter", "plain and framed",
])  # fmt: skip
def test_parts_that_do_not_fit_are_refused(
    how: str, tensor: str, scheme: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge(scheme)
    _with_parts(forge, tensor, how)
    _refuse(world, forge, tmp_path)


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
def test_records_that_lie_are_refused(
    scheme: str, change: dict[str, Any], world: World, tmp_path: Path
) -> None:
    forge = world.forge(scheme)
    number = forge.layer_of(QUERY)
    parts, records = read_layer(forge.layers[number][1])
    record = json.loads(records[QUERY]) | change
    if "codec" in change:
        forge.entry(QUERY)["codec"] = change["codec"]
    forge.replace_layer(number, make_layer(parts, records | {QUERY: dump(record).decode()}))
    _refuse(world, forge, tmp_path)


@pytest.mark.parametrize("change", [
    {"counts": None}, {"counts": []}, {"counts": [-1]}, {"counts": [25]}, {"counts": [1.0]},
    {"counts": [0]}, {"exponent": 1001}, {"exponent": None}, {"exponent": 1000}, {"codec": "magic"},
])  # fmt: skip
def test_records_of_pruned_tensors_that_lie_are_refused(
    change: dict[str, Any], world: World, tmp_path: Path
) -> None:
    forge = world.forge("graftllm")
    number = forge.layer_of(EMBED)
    parts, records = read_layer(forge.layers[number][1])
    record = json.loads(records[EMBED]) | change
    forge.entry(EMBED)["codec"] = record["codec"]
    forge.replace_layer(number, make_layer(parts, records | {EMBED: dump(record).decode()}))
    _refuse(world, forge, tmp_path)


def test_a_kept_value_that_is_no_number_is_refused(world: World, tmp_path: Path) -> None:
    forge = world.forge("graftllm")
    number = forge.layer_of(EMBED)
    parts, records = read_layer(forge.layers[number][1])
    high = next(name for name in parts if "0v1" in name)
    count = json.loads(records[EMBED])["counts"][0]
    del parts[high]
    parts[f"{EMBED}/0v1"] = b"\x7c" * count
    forge.replace_layer(number, make_layer(parts, records))
    assert "kept value" in _refuse(world, forge, tmp_path).message


@pytest.mark.parametrize("codec", ["topk", "svd"])
def test_a_lossy_codec_for_an_added_tensor_is_refused(
    codec: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    number = forge.layer_of(NEW)
    parts, records = read_layer(forge.layers[number][1])
    forge.entry(NEW)["codec"] = codec
    record = dump({"codec": codec}).decode()
    forge.replace_layer(number, make_layer(parts, records | {NEW: record}))
    assert "needs a float tensor's delta" in _refuse(world, forge, tmp_path).message


@pytest.mark.parametrize("record", ["", "[]", "{", '{"codec":"whole","codec":"whole"}', "[" * 9999])
def test_records_that_are_no_document_are_refused(
    record: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    number = forge.layer_of(QUERY)
    parts, records = read_layer(forge.layers[number][1])
    forge.replace_layer(number, make_layer(parts, records | {QUERY: record}))
    _refuse(world, forge, tmp_path)


@pytest.mark.parametrize("scales", [b"\x00\x7c", b"\x00\x7e", b"\xff\x7b"])
@pytest.mark.parametrize("part", ["sigma", "s"])
def test_scales_that_are_no_numbers_are_refused(
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
    _refuse(world, forge, tmp_path)


@pytest.mark.parametrize("header", [
    b"\xff" * 8, b"\0" * 8, b"\x02" + bytes(7) + b"{}", b"\x02" + bytes(7) + b"[]", b"short", b"",
])  # fmt: skip
def test_a_layer_that_is_no_safetensors_file_is_refused(
    header: bytes, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.replace_layer(forge.layer_of(QUERY), header)
    _refuse(world, forge, tmp_path)


@pytest.mark.parametrize("change", [
    {"artifactType": "application/x"}, {"mediaType": "text/plain"}, {"schemaVersion": 2.0},
    {"schemaVersion": 3}, {"annotations": []}, {"annotations": {"a": 1}},
    {"subject": {"digest": ZERO}},
])  # fmt: skip
def test_an_oci_manifest_of_another_form_is_refused(
    change: dict[str, Any], world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.image.update(change)
    _refuse(world, forge, tmp_path)


@pytest.mark.parametrize(("media_type", "data"), [
    ("application/x-evil", b"x"), (oci.DELTA_TYPE, b"unused"), (oci.FILE_TYPE, b"unnamed"),
    (oci.CARD_TYPE, b"# another card"),
])  # fmt: skip
def test_a_layer_too_many_is_refused(
    media_type: str, data: bytes, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.layers.append((media_type, data))
    _refuse(world, forge, tmp_path)


def test_unknown_keys_of_a_manifest_are_ignored(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.manifest["later"] = {"any": ["thing"]}
    forge.manifest["footprint"][0]["later"] = "\x1b[31m"
    assert world.verify(forge.write(tmp_path / "a")) == world.verify(world.packs["lossless"])
