"""A manifest is read, or refused with every problem and its path."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from spec_documents import A, B, manifest_plain
from spec_strategies import altered, json_objects

from skillpm.errors import SpecError
from skillpm.spec.manifest import Manifest, parse_manifest

KEPT = "a tensor that is not removed must have `result` and `layer`"
NAMELESS = "footprint[0].tensor: expected a name that is not empty and has no NUL"
HUGE = "footprint[0].shape: too large: expected fewer than 2^62 bytes"
LEAFLESS = "footprint[0].leaf: expected the leaf of the base, because the tensor is changed"
NEW = "footprint[0].leaf: expected null, because the base does not have an added tensor"
GONE = "a removed tensor must not have `result` or `layer`"
LOWER = {"skill": "acme/z", "version": "1.0.0", "digest": A}
CODE = {"path": "run.py", "digest": A, "kind": "file"}
FILE = {"path": "a.txt", "digest": A, "kind": "file"}
FACTS = manifest_plain()["architecture_facts"]
NEED = manifest_plain()["requires_capabilities"][0]
ANCESTOR = manifest_plain()["lineage"][0]


def _file(path: str, kind: str) -> dict[str, str]:
    return {"path": path, "digest": A, "kind": kind}


def parse(plain: Any) -> Manifest:
    return parse_manifest(json.dumps(plain).encode())


def problems(plain: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(plain)
    first, *lines = caught.value.message.splitlines()
    assert first == f"the manifest has {len(lines)} problem{'s' if len(lines) > 1 else ''}:"
    return [line.strip() for line in lines]


def test_manifest_is_parsed_and_written_canonically() -> None:
    manifest = parse(manifest_plain())
    data = manifest.canonical()
    assert parse_manifest(data) == manifest
    assert parse_manifest(data).canonical() == data
    assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()
    assert manifest.ref == "acme/math 1.2.0"
    assert manifest.footprint[0].spec.nbytes == 24
    assert manifest.footprint[1].source == "old.w"
    assert json.loads(data)["footprint"][1]["from"] == "old.w"


@given(json_objects)
def test_unknown_keys_are_kept(extra: dict[str, Any]) -> None:
    plain = manifest_plain()
    extra = {f"x-{key}": value for key, value in extra.items()}
    plain["base"] = {**extra, **plain["base"]}
    plain["footprint"][0] = {**extra, **plain["footprint"][0]}
    parsed = parse(plain)
    again = json.loads(parsed.canonical())
    for key, value in extra.items():
        assert again["base"][key] == again["footprint"][0][key] == value


@pytest.mark.parametrize("key", [key for key in manifest_plain() if key != "format"])
def test_missing_key_is_reported(key: str) -> None:
    plain = manifest_plain()
    del plain[key]
    assert f"{key}: missing" in problems(plain)


def test_another_format_is_refused_with_a_hint() -> None:
    with pytest.raises(SpecError, match="format 7; this skillpm reads format 2") as caught:
        parse({"format": 7})
    assert caught.value.hint == "install a skillpm that reads format 7"
    with pytest.raises(SpecError, match="format 1, which was never published"):
        parse({**manifest_plain(), "format": 1})
    for bad in (0, -1, "1", None, True, 1.0, [1]):
        assert any(
            line.startswith("format: ") for line in problems({**manifest_plain(), "format": bad})
        )


def test_all_problems_are_reported_at_once() -> None:
    plain = manifest_plain()
    plain["skill"] = "Acme/Math"
    plain["requires"][0] = "acme/b ^^"
    plain["base"]["root"] = "sha256:1"
    plain["footprint"][1]["shape"] = [1, -1]
    plain["compression"]["ratio"] = "much"
    paths = [line.split(": ")[0] for line in problems(plain)]
    assert paths == [
        *("skill", "base.root", "requires[0]", "compression.ratio", "footprint[1].shape[1]"),
    ]


def entry(**changes: Any) -> dict[str, Any]:
    return {**manifest_plain()["footprint"][0], **changes}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (entry(tensor=""), NAMELESS),
        (entry(tensor="a\0"), NAMELESS),
        (entry(tensor="new.w"), "footprint[1].tensor: duplicate tensor 'new.w'"),
        (entry(dtype="F128"), "footprint[0].dtype: 'F128' is not a safetensors dtype"),
        (entry(shape=[2**31, 2**31]), HUGE),
        (entry(leaf=None), LEAFLESS),
        (entry(change="added"), NEW),
        (entry(result=None), f"footprint[0].result: {KEPT}"),
        (entry(layer=None), f"footprint[0].result: {KEPT}"),
        (entry(change="removed", layer=None), f"footprint[0].result: {GONE}"),
        (entry(change="removed", result=None), f"footprint[0].result: {GONE}"),
    ],
)  # fmt: skip
def test_contradictory_footprint_entry_is_reported(changed: Any, problem: str) -> None:
    plain = manifest_plain()
    plain["footprint"][0] = changed
    assert problems(plain) == [problem]


def test_removed_tensor_has_no_result() -> None:
    plain = manifest_plain()
    plain["footprint"][0] = entry(change="removed", result=None, layer=None)
    assert parse(plain).footprint[0].change == "removed"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("version", "1.0.0+cuda", "version: a release cannot have build metadata"),
        ("over", [LOWER], "over[0]: `requires` does not name acme/z =1.0.0"),
        ("files", [CODE], "files[0].path: 'run.py' has a suffix that is not allowed"),
        ("files", [FILE, FILE], "files[1].path: duplicate file 'a.txt'"),
        ("footprint", [], "footprint: empty"),
        ("files", [_file("config.json", "file")], "files[0].path: `config.json`: expected kind"),
        ("files", [_file("tokenizer_config.json", "removed")], "files[0].path: `tokenizer_config"),
        ("files", [_file("Config.JSON", "patch")], "files[0].path: 'Config.JSON' must be spelled"),
        ("files", [_file("config.4.9.0.json", "patch")], "files[0].path: 'config.4.9.0.json'"),
        ("files", [_file("merges.txt", "patch")], "files[0].path: 'merges.txt' is not a JSON file"),
        ("files", [_file("LICENSE.txt", "removed")], "files[0].path: 'LICENSE.txt' is a licence"),
        ("files", [_file("preprocessor_config.json", "removed")], "files[0].path: 'preprocessor"),
        ("files", [FILE, _file("A.txt", "removed")], "files[1].path: 'a.txt' and 'A.txt' differ"),
        ("files", [_file("model.safetensors", "removed")], "files[0].path: 'model.safetensors'"),
        ("architecture_facts", FACTS | {"library": None}, "architecture_facts.library: expected"),
        (
            "architecture_facts",
            FACTS | {"config_keys": ["a", "a"]},
            "architecture_facts.config_keys: duplicate key",
        ),
        (
            "architecture_facts",
            FACTS | {"config_keys": ["a b"]},
            "architecture_facts.config_keys[0]: expected a config key",
        ),
        (
            "architecture_facts",
            FACTS | {"config_keys": ["a" * 65]},
            "architecture_facts.config_keys[0]: expected a config key",
        ),
        (
            "architecture_facts",
            FACTS | {"config_keys": [f"k{n}" for n in range(5000)]},
            "architecture_facts.config_keys: expected at most 4096 entries, found",
        ),
        ("architecture_facts", FACTS | {"tied": {"a": "a"}}, "architecture_facts.tied: 'a' is tie"),
        ("requires_capabilities", [NEED, NEED], "requires_capabilities[1]: duplicate capability "),
        (
            "requires_capabilities",
            [NEED | {"at_least": "much"}],
            "requires_capabilities[0].at_least: expected a number",
        ),
        ("lineage", [ANCESTOR, ANCESTOR], "lineage[1]: duplicate release `acme/a` 0.1.0"),
        (
            "lineage",
            [ANCESTOR | {"skill": "acme/math", "version": "1.2.0"}],
            "lineage[0]: a release cannot be its own ancestor",
        ),
    ],
)  # fmt: skip
def test_contradictions_between_sections_are_reported(key: str, value: Any, problem: str) -> None:
    found = problems({**manifest_plain(), key: value})
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("tool", "version"), [("skillpm 9.1.0", ">=9.1.0"), ("skillpm 9.1.0; rm", "!="), (None, "!=")]
)
def test_unknown_required_key_is_refused_with_the_needed_version(
    tool: str | None, version: str
) -> None:
    plain = {**manifest_plain(), "must_understand": ["files", "sparsity"]}
    plain["provenance"] = {"tool": tool}
    with pytest.raises(SpecError, match="support for 'sparsity', which skillpm") as caught:
        parse(plain)
    assert version in str(caught.value.hint)
    assert "'files'" not in caught.value.message


def test_tensor_of_a_layered_pack_needs_no_leaf_of_the_base() -> None:
    plain = manifest_plain()
    plain["over"] = [{"skill": "acme/b", "version": "1.0.0", "digest": B}]
    plain["requires"] = ["acme/b =1.0.0"]
    plain["footprint"][0]["leaf"] = None
    assert parse(plain).footprint[0].leaf is None


@given(altered(manifest_plain()))
def test_any_altered_manifest_is_read_or_refused(plain: Any) -> None:
    before = deepcopy(plain)
    try:
        manifest = parse(plain)
    except SpecError as problem:
        assert "the manifest" in problem.message  # noqa: PT017 - some are read
    else:
        assert parse_manifest(manifest.canonical()) == manifest
    assert plain == before
