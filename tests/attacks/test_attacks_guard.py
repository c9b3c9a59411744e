"""Hostile probes in packs, with `--guard`."""

import json
from pathlib import Path
from typing import Any

import pytest
from attack_worlds import Forge, forge_of
from hostile_tokenizers import ABORTS, HUGE, growing
from skillpm_world import World, snapshot
from tiny_learners import MATH_PROBES, Learners, write_probes

from skillpm.spec import oci
from skillpm.spec.digests import Digest

ZERO = "sha256:" + "0" * 64
TENSOR = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A separate project; the other tests of this folder have an archive."""
    found = World(tmp_path)
    found.project.mkdir()
    monkeypatch.setenv("SKILLPM_HOME", str(found.home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(found.project)
    return found


@pytest.mark.parametrize("mode", ["merged", "routed"])
@pytest.mark.parametrize("probed", [True, False])
def test_guard_refuses_a_false_result(
    world: World, learners: Learners, mode: str, *, probed: bool
) -> None:
    lines = ({"probes": 1, "tolerance": 1.0}, *MATH_PROBES[1:])
    probes = ("--probes", write_probes(world.folder / "p.jsonl", lines)) if probed else ()
    forge = forge_of(world.pack(learners.math, "acme/math", "1.0.0", *probes))
    forge.entry(TENSOR)["result"] = ZERO
    world.init(learners.base)
    world.file.write_text(world.file.read_text() + f'\n[graft]\nmode = "{mode}"\n')
    before = snapshot(world.project)
    path = forge.write(world.folder / "lie.skillpack")
    said = world.fail("install", path, "--guard", code=3, kind="integrity")
    assert f"the decoded `{TENSOR}` has leaf" in said
    assert snapshot(world.project) == before


def test_guard_refuses_a_false_root(world: World, learners: Learners) -> None:
    probes = write_probes(world.folder / "p.jsonl", MATH_PROBES)
    forge = forge_of(world.pack(learners.math, "acme/math", "1.0.0", "--probes", probes))
    forge.manifest["result_root"] = ZERO
    world.init(learners.base)
    path = forge.write(world.folder / "lie.skillpack")
    said = world.fail("install", path, "--guard", code=3, kind="integrity")
    assert f"skillpm.lock records `{ZERO}`" in said


@pytest.mark.parametrize(
    ("metric", "items", "reason"),
    [
        ("mrr", [{"query": f"q{n}", "document": f"d{n}"} for n in range(3)], "needs an encoder"),
        ("token_loss", [{"text": "a"}], "no item that can be scored"),
    ],
)
def test_guard_reports_probes_that_cannot_run_with_their_skill(
    world: World, learners: Learners, metric: str, items: list[dict[str, Any]], reason: str
) -> None:
    forge = forge_of(world.pack(learners.math, "acme/math", "1.0.0"))
    path = forge_probes(forge, metric, items).write(world.folder / "odd.skillpack")
    world.init(learners.base)
    said = world.fail("install", path, "--guard", code=1, kind="graft")
    world.ask("install", path)
    for tokenizer_parts in (said, world.fail("probe", code=1, kind="graft")):
        assert "the probes of `acme/math 1.0.0`" in tokenizer_parts
        assert reason in tokenizer_parts
        assert "`skillpm uninstall acme/math`" in tokenizer_parts


def test_probes_with_unbounded_work_are_refused(world: World, learners: Learners) -> None:
    item = {"question": "x" * 600, "choices": [f"{n}" for n in range(32)], "answer": 0}
    forge = forge_of(world.pack(learners.math, "acme/math", "1.0.0"))
    path = forge_probes(forge, "multiple_choice", [item] * 100).write(world.folder / "p.skillpack")
    world.init(learners.base)
    said = world.fail("install", path, "--guard", code=1, kind="spec")
    assert "the probe file of acme/math 1.0.0" in said
    assert "tokens" in said
    file = write_probes(world.folder / "own.jsonl", [item] * 100)
    command = (
        "pack",
        *learners.math,
        "--name",
        "acme/math",
        "--version",
        "2.0.0",
        "--probes",
        file,
    )
    assert "own.jsonl" in world.fail(*command, code=1, kind="spec")


def _with_file(forge: Forge, name: str, plain: dict[str, Any], kind: str) -> Forge:
    data = json.dumps(plain).encode()
    forge.layers.append((oci.FILE_TYPE, data))
    forge.manifest["files"].append({"path": name, "digest": str(Digest.of(data)), "kind": kind})
    return forge


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[NO]", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}
WORDS = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "no"}


@pytest.mark.parametrize(
    "tokenizer_parts",
    [
        pytest.param({"post_processor": TEMPLATE}, marks=pytest.mark.slow),
        pytest.param({"model": WORDS}, marks=pytest.mark.slow),
        pytest.param({"normalizer": growing("=", times=1000, steps=9)}, marks=pytest.mark.slow),
        pytest.param({"normalizer": HUGE}, marks=pytest.mark.slow),
        {"model": ABORTS},
        pytest.param({"layers": 0}, marks=pytest.mark.slow),
    ],
)
def test_files_that_crash_libraries_give_a_skillpm_error(
    world: World, learners: Learners, tokenizer_parts: dict[str, Any]
) -> None:
    forge = forge_of(world.pack(learners.math, "acme/math", "1.0.0"))
    forge_probes(forge, "token_loss", [{"text": "1+2=3. "}])
    if "layers" in tokenizer_parts:
        _with_file(forge, "config.json", {"num_hidden_layers": 10**6}, "patch")
    else:
        plain = json.loads((learners.base / "tokenizer.json").read_text())
        _with_file(forge, "tokenizer.json", plain | tokenizer_parts, "file")
    world.init(learners.base)
    path = forge.write(world.folder / "odd.skillpack")
    said = world.fail("install", path, "--guard", code=1, kind="graft")
    assert "`acme/math 1.0.0`" in said
    assert "stage-" not in said, "a folder that was removed already"
    assert world.installed() == {}


def test_extreme_recorded_values_give_valid_json_documents(
    world: World, learners: Learners
) -> None:
    def strict(text: str) -> float:
        raise AssertionError(f"{text} is no JSON")

    forge = forge_of(world.pack(learners.math, "acme/math", "1.0.0"))
    forge_probes(forge, "token_loss", [{"text": "1+2=3. "}])
    world.init(learners.base)
    for value, base in ((-1e308, 1e308), (0.0, 5e-324)):
        forge.manifest["capabilities"][0] |= {"value": value, "base_value": base}
        world.run("install", forge.write(world.folder / "lie.skillpack"), "--registry", f"r{base}")
        for command in (("probe",), ("graft", "--tune", "--budget", "1")):
            found = world.run(*command, "--json").out
            assert json.loads(found, parse_constant=strict)["schema_version"] == 1


def forge_probes(forge: Forge, metric: str, items: list[dict[str, Any]]) -> Forge:
    """Add probes without measured values to a pack."""
    data = "".join(json.dumps(item) + "\n" for item in items).encode()
    forge.layers.append((oci.PROBES_TYPE, data))
    forge.manifest["capabilities"] = [
        {
            "name": "probe",
            "metric": metric,
            "value": 1.0,
            "base_value": 0.5,
            "samples": len(items),
            "probes": str(Digest.of(data)),
        }
    ]
    return forge
