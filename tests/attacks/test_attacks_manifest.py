"""Packs with valid digests and false documents."""

from pathlib import Path
from typing import Any

import pytest
from attack_worlds import BUFFER, EMBED, NEW, NORM, QUERY, Change, World, dump, refuse

from skillpm.errors import SpecError
from skillpm.spec import json, oci

ZERO = "sha256:" + "0" * 64
DEEP = b'{"summary":' + b"[" * 70 + b"]" * 70 + b"}"


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
    "an unknown dtype": _entry(EMBED, dtype="F7"),
    "another codec": _entry(EMBED, codec="whole"),
    "an unknown codec": _entry(EMBED, codec="magic"),
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
    "a format of the future": _top(format=3),
    "a format that was never published": _top(format=1),
    "a format that is true": _top(format=True),
    "a format that is a fraction": _top(format=2.0),
    "a key that must be understood and is unknown": _top(must_understand=["sparsity"]),
    "a part of a known key that must be understood": _top(must_understand=["files.kind"]),
    "a known key in capitals": _top(must_understand=["Files"]),
    "very many keys that must be understood": _top(must_understand=["files"] * 1000),
    "a config key that is no identifier": _within("architecture_facts", config_keys=["a b"]),
    "a config key of a megabyte": _within("architecture_facts", config_keys=["a" * 2**20]),
    "very many config keys": _within(
        "architecture_facts", config_keys=[f"k{n}" for n in range(10**5)]
    ),
    "a config key that stands twice": _within("architecture_facts", config_keys=["a", "a"]),
    "facts of no library": _within("architecture_facts", library=None, config_keys=["a"]),
    "a tensor that is tied to itself": _within("architecture_facts", tied={"a": "a"}),
    "a tie to nothing": _within("architecture_facts", tied={"a": ""}),
    "a name with a NUL": _within("architecture_facts", names={"a\0": "b"}),
    "facts that are a list": _top(architecture_facts=[]),
    "a required capability of no probes": _top(
        requires_capabilities=[{"capability": "a", "metric": "b", "at_least": 1}]
    ),
    "a required capability beyond numbers": _top(
        requires_capabilities=[
            {"capability": "a", "metric": "b", "at_least": 10**400, "probes": ZERO}
        ]
    ),
    "a required capability that stands twice": _top(
        requires_capabilities=[
            {"capability": "a", "metric": "b", "at_least": 1, "probes": ZERO}
        ] * 2
    ),
    "an ancestor of no base": _top(
        lineage=[{"skill": "acme/a", "version": "1.0.0", "digest": ZERO}]
    ),
    "an ancestor that stands twice": _top(
        lineage=[{"skill": "acme/a", "version": "1.0.0", "digest": ZERO, "base": ZERO}] * 2
    ),
    "a skill that comes from itself": lambda manifest: manifest.update(
        lineage=[{
            "skill": manifest["skill"], "version": manifest["version"], "digest": ZERO,
            "base": ZERO,
        }]
    ),
    "probes that are no digest": lambda manifest: manifest.update(
        capabilities=[{"name": "a", "metric": "b", "value": 1, "probes": "x"}]
    ),
    "a file of another kind": _top(
        files=[{"path": "vocab.txt", "digest": ZERO, "kind": "merge-patch"}]
    ),
    "a config that is a file": _top(
        files=[{"path": "config.json", "digest": ZERO, "kind": "file"}]
    ),
    "a config that is removed": _top(
        files=[{"path": "tokenizer_config.json", "digest": ZERO, "kind": "removed"}]
    ),
    "a config in another spelling": _top(
        files=[{"path": "Config.json", "digest": ZERO, "kind": "patch"}]
    ),
    "a licence that is removed": _top(
        files=[{"path": "LICENSE.txt", "digest": ZERO, "kind": "removed"}]
    ),
    "files that differ in case alone": _top(
        files=[
            {"path": name, "digest": ZERO, "kind": "removed"} for name in ("vocab.txt", "Vocab.txt")
        ]
    ),
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
def test_false_manifest_is_refused(lie: str, world: World, tmp_path: Path) -> None:
    forge = world.forge()
    LIES[lie](forge.manifest)
    assert refuse(world, forge, tmp_path).message


def test_all_problems_of_a_manifest_are_reported_at_once(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    for lie in ("a format that is true", "no digest for a root", "a version that is none"):
        LIES[lie](forge.manifest)
    message = refuse(world, forge, tmp_path).message
    assert all(path in message for path in ("format:", "result_root:", "version:"))


def test_future_format_gives_a_hint_with_the_format(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.manifest["format"] = 3
    assert "format 3" in str(refuse(world, forge, tmp_path).hint)


@pytest.mark.parametrize("path", [
    "../x", "x.py", ".hidden", "model.safetensors.index.json", "adapter_config.json", "a/b.json",
    "a\\b.json", "/etc/x.json", "config.json\n", "cоnfig.json", "\u202egnosj.txt",
    "con\x1bfig.json", "", ".", "..", "x", "x.json.py", "Adapter_Config.JSON", "a\0.json",
    ".skillpm-graft.json", "x.safetensors", "pytorch_model.bin.index.json", "x" * 200 + ".json",
])  # fmt: skip
def test_side_files_with_other_names_are_refused(path: str, world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.manifest["files"][0]["path"] = path
    assert "files[0].path" in refuse(world, forge, tmp_path).message


@pytest.mark.parametrize("patch", [
    b'{"auto_map":{"AutoModel":"evil.Model"}}', b'{"a":{"b":[{"auto_map":1}]}}', b"{",
    b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b"\xff", b"[" * 100_000,
    b"[" * 70 + b"]" * 70, b'{"auto\\u005fmap":{}}', b'[{"auto_map":1}]',
])  # fmt: skip
@pytest.mark.parametrize("kind", ["patch", "file"])
def test_side_files_with_invalid_content_are_refused(
    patch: bytes, kind: str, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.manifest["files"][0] |= {"kind": kind, "path": "generation_config.json"}
    number = next(n for n, (media, _) in enumerate(forge.layers) if media == oci.FILE_TYPE)
    forge.replace_layer(number, patch)
    refuse(world, forge, tmp_path)


@pytest.mark.parametrize("raw", [
    b"", b"[]", b"null", DEEP, b"[" * 1_000_000, b'{"format":1,"format":1}', b'{"format":NaN}',
    b'{"format":-Infinity}', b'{"format":' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}", b'{"a":"\x00"}',
    b'{"skill":"\\ud83d"}',
])  # fmt: skip
def test_manifest_that_is_invalid_json_is_refused(raw: bytes, world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.raw_manifest = raw or b" "
    with pytest.raises(SpecError):
        world.verify(forge.write(tmp_path / "a"))


def test_manifest_over_the_size_limit_is_refused(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.raw_manifest = dump(forge.manifest) + b" " * 64_000_001
    with pytest.raises(SpecError, match="64000000"):
        world.verify(forge.write(tmp_path / "a"))


def test_duplicate_key_among_many_is_found() -> None:
    keys = ",".join(f'"{n}":0' for n in range(300_000))
    with pytest.raises(SpecError, match="duplicate key 'x'"):
        json.parse(f'{{{keys},"x":0,"x":0}}'.encode(), "the document")


@pytest.mark.parametrize("change", [
    {"artifactType": "application/x"}, {"mediaType": "text/plain"}, {"schemaVersion": 2.0},
    {"schemaVersion": 3}, {"annotations": []}, {"annotations": {"a": 1}},
    {"subject": {"digest": ZERO}},
])  # fmt: skip
def test_oci_manifest_of_another_form_is_refused(
    change: dict[str, Any], world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.image.update(change)
    refuse(world, forge, tmp_path)


@pytest.mark.parametrize(("media_type", "data"), [
    ("application/x-evil", b"x"), (oci.DELTA_TYPE, b"unused"), (oci.FILE_TYPE, b"unnamed"),
    (oci.CARD_TYPE, b"# another card"),
])  # fmt: skip
def test_unexpected_layer_is_refused(
    media_type: str, data: bytes, world: World, tmp_path: Path
) -> None:
    forge = world.forge()
    forge.layers.append((media_type, data))
    refuse(world, forge, tmp_path)


def test_unknown_keys_of_a_manifest_are_ignored(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.manifest["later"] = {"any": ["thing"]}
    forge.manifest["footprint"][0]["later"] = "\x1b[31m"
    assert world.verify(forge.write(tmp_path / "a")) == world.verify(world.packs["lossless"])
