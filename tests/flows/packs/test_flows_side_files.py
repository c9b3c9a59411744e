"""Side files: encoding, applying, and conflicts between two packs."""

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest

from skillpm.errors import ResolutionError, SpecError
from skillpm.flows.pack.encode_files import encode_side_files
from skillpm.flows.packs.side_files import PackSideFiles, apply_side_files, clashing_key
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import ArchitectureFacts, SideFile
from skillpm.spec.names import SkillName
from skillpm.spec.pack import read_side_file

FACTS = ArchitectureFacts(
    tied={}, names={}, config_keys=["rope", "labels", "part.size"], library="transformers 5.24.0"
)
BASE = {"config.json": b'{"labels": 1, "rope": {"theta": 1, "kind": "plain"}}'}

ABSENT: dict[str, bytes] = {}
"""A folder without files."""


def _json(data: bytes | None) -> Any:
    assert data is not None
    return json.loads(data)


def _pack(name: str, files: dict[str, Any], *below: str) -> PackSideFiles:
    found = []
    for path, content in files.items():
        kinds: dict[type, Literal["file", "patch", "removed"]] = {
            dict: "patch",
            bytes: "file",
            type(None): "removed",
        }
        kind = kinds[type(content)]
        found.append((SideFile(path=path, digest=Digest.of(b""), kind=kind), content))
    lower = frozenset(SkillName.parse(f"acme/{one}") for one in below)
    return PackSideFiles(SkillName.parse(f"acme/{name}"), tuple(found), lower)


@pytest.fixture
def before() -> Callable[[str], bytes | None]:
    return BASE.get


def test_patches_of_different_keys_combine(before: Callable[[str], bytes | None]) -> None:
    one = _pack("one", {"config.json": {"labels": 2, "rope": {"theta": 5}}, "vocab.txt": b"a"})
    two = _pack("two", {"config.json": {"labels": 2, "rope": {"kind": "x"}}, "vocab.txt": b"a"})
    result = apply_side_files(before, [two, one])
    assert _json(result["config.json"]) == {"labels": 2, "rope": {"theta": 5, "kind": "x"}}
    assert result["vocab.txt"] == b"a"
    assert result == apply_side_files(before, [one, two])
    assert apply_side_files(before, []) == {}


def test_file_that_the_base_lacks_is_patched_from_an_empty_document(
    before: Callable[[str], bytes | None],
) -> None:
    pack = _pack("one", {"generation_config.json": {"top_k": 5}})
    assert _json(apply_side_files(before, [pack])["generation_config.json"]) == {"top_k": 5}


@pytest.mark.parametrize(
    ("one", "two", "what"),
    [
        ({"config.json": {"labels": 2}}, {"config.json": {"labels": 3}}, "key `labels`"),
        ({"config.json": {"labels": 1}}, {"config.json": {"labels": True}}, "key `labels`"),
        (
            {"config.json": {"rope": {"theta": 1}}},
            {"config.json": {"rope": {"theta": 2}}},
            "key `rope.theta`",
        ),
        ({"config.json": {"rope": {"a": 1}}}, {"config.json": {"rope": 2}}, "key `rope`"),
        ({"vocab.txt": b"a"}, {"vocab.txt": b"b"}, "file `vocab.txt`"),
        ({"config.json": {"labels": 2}}, {"config.json": b"{}"}, "file `config.json`"),
    ],
)
def test_different_changes_of_two_packs_conflict(
    before: Callable[[str], bytes | None], one: dict[str, Any], two: dict[str, Any], what: str
) -> None:
    with pytest.raises(ResolutionError) as problem:
        apply_side_files(before, [_pack("one", one), _pack("two", two)])
    assert what in problem.value.message


def test_layered_pack_may_change_files_of_the_packs_below(
    before: Callable[[str], bytes | None],
) -> None:
    lower = _pack("zero", {"config.json": {"labels": 2}, "vocab.txt": b"a"})
    upper = _pack("one", {"config.json": {"labels": 3}, "vocab.txt": b"b"}, "zero")
    result = apply_side_files(before, [upper, lower])
    assert _json(result["config.json"])["labels"] == 3
    assert result["vocab.txt"] == b"b"


def test_nested_patches_that_agree_do_not_clash() -> None:
    assert clashing_key({"a": {"b": 1}, "c": 1}, {"a": {"b": 1}, "d": 1}) is None


def test_packs_that_change_different_files_do_not_conflict(
    before: Callable[[str], bytes | None],
) -> None:
    one, two = _pack("one", {"vocab.txt": b"a"}), _pack("two", {"merges.txt": b"a"})
    assert apply_side_files(before, [one, two]) == {"vocab.txt": b"a", "merges.txt": b"a"}


def test_side_file_that_is_not_json_is_stored_whole() -> None:
    file = SideFile(path="vocab.txt", digest=Digest.of(b"{"), kind="file")
    assert read_side_file(file, b"{", FACTS) == b"{"


TOKENIZER = {
    "truncation": {"max_length": 128},
    "added_tokens": [],
    "model": {"type": "WordPiece", "vocab": {"b": 0, "a": 1}},
}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"truncation": {"max_length": 128, "direction": "Right"}}, "patch"),
        ({"truncation": None}, "file"),
        ({"added_tokens": [{"id": 2}]}, "file"),
        ({"model": {"type": "WordPiece", "vocab": {"b": 0, "a": 1, "c": 2}}}, "file"),
    ],
)
def test_tokenizer_is_patched_only_if_the_patch_is_exact(change: dict[str, Any], kind: str) -> None:
    old = json.dumps(TOKENIZER).encode()
    new = json.dumps({**TOKENIZER, **change}).encode()
    before, after = {"tokenizer.json": old}.get, {"tokenizer.json": new}.get
    ((file, data),) = encode_side_files(before, after, FACTS)
    assert file.kind == kind
    assert data is not None
    content = read_side_file(file, data, FACTS)
    pack = PackSideFiles(SkillName.parse("acme/one"), ((file, content),))
    graft = apply_side_files({"tokenizer.json": old}.get, [pack])["tokenizer.json"]
    assert graft is not None
    assert json.loads(graft) == json.loads(new)
    assert list(json.loads(graft)["model"]["vocab"])[:2] == ["b", "a"]


def test_files_that_the_tuned_tokenizer_lacks_are_removed() -> None:
    base = {"tokenizer.json": b"{}", "chat_template.jinja": b"old", "vocab.txt": b"a"}
    tuned = {"tokenizer.json": b"{}", "vocab.txt": b"a"}
    ((file, data),) = encode_side_files(base.get, tuned.get, FACTS)
    assert (file.path, file.kind, file.digest) == (
        "chat_template.jinja", "removed", Digest.of(b"old"),
    )  # fmt: skip
    assert data is None
    pack = _pack("one", {"chat_template.jinja": None})
    assert apply_side_files(base.get, [pack]) == {"chat_template.jinja": None}


def test_tuned_model_without_a_tokenizer_removes_nothing() -> None:
    base = {
        "tokenizer.json": b"{}",
        "chat_template.jinja": b"old",
        "preprocessor_config.json": b"{}",
    }
    assert list(encode_side_files(base.get, ABSENT.get, FACTS)) == []
    tuned = {"tokenizer.json": b"{}", "chat_template.jinja": b"old"}
    assert list(encode_side_files(base.get, tuned.get, FACTS)) == []


@pytest.mark.parametrize("content", [b"new", {"a": 1}])
def test_file_that_one_pack_removes_and_another_changes_is_a_conflict(
    before: Callable[[str], bytes | None], content: Any
) -> None:
    one, two = _pack("one", {"tokenizer.json": None}), _pack("two", {"tokenizer.json": content})
    with pytest.raises(ResolutionError, match=r"file `tokenizer.json`"):
        apply_side_files(before, [one, two])
    same = apply_side_files(before, [one, _pack("two", {"tokenizer.json": None})])
    assert same == {"tokenizer.json": None}
    over = _pack("zwei", {"tokenizer.json": content}, "one")
    assert apply_side_files(before, [over, one])["tokenizer.json"] is not None


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({}, {"labels": 3}, {"labels": 3}),
        ({"part": {"size": 1}}, {"part": {"size": 2}}, {"part": {"size": 2}}),
        ({"legacy": 1}, {}, {}),
        ({"part": {"legacy": 1, "_name_or_path": "a"}}, {"part": {}}, {}),
        (
            {"part": {"legacy": 1, "size": 1}},
            {"part": {"size": 2, "_name_or_path": "b"}},
            {"part": {"size": 2}},
        ),
        ({"part": {"size": 1}}, {"part": {}}, {"part": {"size": None}}),
        ({"legacy": 1, "labels": 2}, {"labels": 3}, {"labels": 3}),
        ({"attn_implementation": "sdpa"}, {}, {}),
        ({"auto_map": {"AutoModel": "a.B"}}, {}, {"auto_map": None}),
        ({"labels": 2, "_name_or_path": "a"}, {"labels": 2, "_name_or_path": "b"}, {}),
        ({"labels": 2}, {"labels": 2, "_attn_implementation_autoset": True}, {}),
        ({"labels": float("inf")}, {"labels": float("inf")}, {}),
    ],
)
def test_config_patch_contains_only_declared_keys(
    old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]
) -> None:
    pair = [{"config.json": json.dumps(config).encode()} for config in (old, new)]
    found = list(encode_side_files(pair[0].get, pair[1].get, FACTS))
    assert [json.loads(data or b"") for _, data in found] == ([patch] if patch else [])


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ({}, {"other": 1}, "`other`"),
        ({}, {"part": {"other": 1}}, "`part.other`"),
        ({"part": {"size": 1}}, {}, "`part`"),
        ({"quantization_config": {}}, {}, "`quantization_config`"),
        ({"quant_method": "gptq"}, {}, "`quant_method`"),
        ({"model_type": "llama"}, {}, "`model_type`"),
        ({"model_type": "llama"}, {"model_type": "qwen2"}, "`model_type`"),
        ({}, {"transformers_weights": "x"}, "`transformers_weights`"),
        ({}, {"labels": float("nan")}, "JSON"),
    ],
)
def test_config_with_other_changes_is_refused_by_name(
    old: dict[str, Any], new: dict[str, Any], named: str
) -> None:
    pair = [{"config.json": json.dumps(config).encode()} for config in (old, new)]
    with pytest.raises(SpecError, match=named):
        list(encode_side_files(pair[0].get, pair[1].get, FACTS))


def test_base_without_a_config_gets_none() -> None:
    assert list(encode_side_files(ABSENT.get, {"config.json": b'{"labels": 1}'}.get, FACTS)) == []
