"""Side files: what is cut, what is laid on, and what two packs may not both change."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from skillpm.errors import ResolutionError
from skillpm.flows.sidefiles import SidePack, apply_side_files, clashing_key, cut_side_files
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import ArchitectureFacts, SideFile
from skillpm.spec.names import SkillName
from skillpm.spec.pack import read_side_file

FACTS = ArchitectureFacts(
    tied={}, names={}, config_keys=["rope", "labels", "part.size"], library="transformers 5.24.0"
)
BASE = {"config.json": b'{"labels": 1, "rope": {"theta": 1, "kind": "plain"}}'}


def _pack(name: str, files: dict[str, Any], *below: str) -> SidePack:
    found = []
    for path, content in files.items():
        kind = "patch" if isinstance(content, dict) else "file"
        found.append((SideFile(path=path, digest=Digest.of(b""), kind=kind), content))
    lower = frozenset(SkillName.parse(f"acme/{one}") for one in below)
    return SidePack(SkillName.parse(f"acme/{name}"), tuple(found), lower)


@pytest.fixture
def before() -> Callable[[str], bytes | None]:
    return BASE.get


def test_patches_of_other_keys_go_together(before: Callable[[str], bytes | None]) -> None:
    one = _pack("one", {"config.json": {"labels": 2, "rope": {"theta": 5}}, "vocab.txt": b"a"})
    two = _pack("two", {"config.json": {"labels": 2, "rope": {"kind": "x"}}, "vocab.txt": b"a"})
    result = apply_side_files(before, [two, one])
    assert json.loads(result["config.json"]) == {"labels": 2, "rope": {"theta": 5, "kind": "x"}}
    assert result["vocab.txt"] == b"a"
    assert result == apply_side_files(before, [one, two])
    assert apply_side_files(before, []) == {}


def test_a_file_that_the_base_lacks_is_patched_from_nothing(
    before: Callable[[str], bytes | None],
) -> None:
    pack = _pack("one", {"generation_config.json": {"top_k": 5}})
    assert json.loads(apply_side_files(before, [pack])["generation_config.json"]) == {"top_k": 5}


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
def test_what_two_packs_change_differently_conflicts(
    before: Callable[[str], bytes | None], one: dict[str, Any], two: dict[str, Any], what: str
) -> None:
    with pytest.raises(ResolutionError) as problem:
        apply_side_files(before, [_pack("one", one), _pack("two", two)])
    assert what in problem.value.message


def test_a_pack_may_change_what_it_lies_over(before: Callable[[str], bytes | None]) -> None:
    lower = _pack("zero", {"config.json": {"labels": 2}, "vocab.txt": b"a"})
    upper = _pack("one", {"config.json": {"labels": 3}, "vocab.txt": b"b"}, "zero")
    result = apply_side_files(before, [upper, lower])
    assert json.loads(result["config.json"])["labels"] == 3
    assert result["vocab.txt"] == b"b"


def test_nested_patches_that_agree_do_not_clash() -> None:
    assert clashing_key({"a": {"b": 1}, "c": 1}, {"a": {"b": 1}, "d": 1}) is None


def test_packs_of_other_files_do_not_clash(before: Callable[[str], bytes | None]) -> None:
    one, two = _pack("one", {"vocab.txt": b"a"}), _pack("two", {"merges.txt": b"a"})
    assert apply_side_files(before, [one, two]) == {"vocab.txt": b"a", "merges.txt": b"a"}


def test_a_side_file_that_is_no_json_is_taken_as_it_is() -> None:
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
def test_a_tokenizer_is_patched_only_where_that_is_exact_and_its_tokens_stay(
    change: dict[str, Any], kind: str
) -> None:
    old = json.dumps(TOKENIZER).encode()
    new = json.dumps({**TOKENIZER, **change}).encode()
    before, after = {"tokenizer.json": old}.get, {"tokenizer.json": new}.get
    ((file, data),) = cut_side_files(before, after, FACTS)
    assert file.kind == kind
    content = read_side_file(file, data, FACTS)
    pack = SidePack(SkillName.parse("acme/one"), ((file, content),))
    graft = apply_side_files({"tokenizer.json": old}.get, [pack])["tokenizer.json"]
    assert json.loads(graft) == json.loads(new)
    assert list(json.loads(graft)["model"]["vocab"])[:2] == ["b", "a"]
