"""`pack --probes` and `probe`: measured when packed, and again when installed."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_learners
from skillpm_world import World, snapshot
from tiny_learners import COLOR_PROBES, MATH_PROBES, Learners, write_probes
from transformers import LlamaForCausalLM


@pytest.fixture
def math_pack(world: World, learners: Learners) -> Path:
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    return learners.pack(world, "math", "--probes", probes)


def test_pack_probes_records_the_values_of_base_and_tuned_model(
    world: World, math_pack: Path
) -> None:
    manifest = world.ask("inspect", math_pack)["manifest"]
    found = {one["metric"]: one for one in manifest["capabilities"]}
    assert set(found) == {"exact_match", "token_loss"}
    assert {one["name"] for one in found.values()} == {"probe"}
    assert (found["exact_match"]["value"], found["exact_match"]["base_value"]) == (1.0, 0.0)
    assert found["token_loss"]["value"] < 1 < found["token_loss"]["base_value"]
    assert found["token_loss"]["samples"] == 5
    assert "exact_match" in world.run("inspect", math_pack).out


def test_probe_reaches_the_recorded_values(
    world: World, learners: Learners, math_pack: Path
) -> None:
    world.init(learners.base)
    world.ask("install", math_pack)
    found = world.ask("probe")
    assert found["without"] == []
    assert set(found["results"][0]) >= {"skill", "metric", "base", "recorded", "now", "passed"}
    for one in found["results"]:
        assert one["passed"]
        assert one["now"] == pytest.approx(one["recorded"], rel=1e-4)
    assert "passes" in world.run("probe", "acme/math").out


def test_probe_of_a_harmed_skill_exits_1_with_its_document(
    world: World, learners: Learners, math_pack: Path
) -> None:
    world.init(learners.base)
    world.ask("install", math_pack, learners.pack(world, "noise"))
    before = snapshot(world.project)
    found = world.ask("probe", code=1)
    assert found["passed"] is False
    assert [one["passed"] for one in found["results"]] == [False, False]
    assert found["without"] == ["acme/noise"]
    outcome = world.run("probe")
    assert outcome.code == 1
    assert "FAILS" in outcome.out
    assert "acme/noise" in outcome.err
    assert snapshot(world.project) == before


def test_probe_does_not_change_the_base(world: World, learners: Learners, math_pack: Path) -> None:
    before = snapshot(learners.base)
    world.init(learners.base)
    world.ask("install", math_pack)
    world.ask("probe")
    assert snapshot(learners.base) == before


def test_probe_graft_option_probes_a_graft_folder(
    world: World, learners: Learners, math_pack: Path
) -> None:
    world.init(learners.base)
    world.ask("install", math_pack)
    world.ask("graft")
    direct = world.ask("probe")["results"]
    assert world.ask("probe", "--graft", "graft")["results"] == direct
    assert world.ask("probe", "--graft", learners.base, code=1)["passed"] is False


def test_probe_of_a_skill_that_is_not_installed_fails(
    world: World, learners: Learners, math_pack: Path
) -> None:
    world.init(learners.base)
    assert world.ask("probe")["results"] == []
    world.ask("install", math_pack)
    assert "acme/math" in world.fail("probe", "acme/mth", code=4, kind="not_found")


def test_probes_of_a_layered_pack_are_measured_on_its_lower_set(
    world: World, learners: Learners, math_pack: Path, tmp_path: Path
) -> None:
    world.init(learners.base)
    world.ask("install", math_pack)
    world.ask("graft")
    colors = LlamaForCausalLM.from_pretrained(world.project / "graft")
    lines = (*tiny_learners.COLORS, *tiny_learners.MATH)
    tuned = tiny_learners.store(
        tiny_learners.train(colors, lines, steps=60, only="self_attn"), tmp_path / "above"
    )
    probes = write_probes(world.folder / "colors.jsonl", [*COLOR_PROBES, *MATH_PROBES[1:6]])
    pack = world.pack(
        (learners.base, tuned), "acme/colors", "1.0.0", "--over", "acme/math", "--probes", probes
    )
    world.ask("install", pack)
    assert all(one["passed"] for one in world.ask("probe", "acme/colors")["results"])


def test_pack_reports_an_invalid_probe_file_and_writes_nothing(
    world: World, learners: Learners
) -> None:
    probes = world.folder / "bad.jsonl"
    probes.write_text('{"text": "a b"}\n{"metric": "bleu", "text": "x"}\n')
    said = world.fail(
        "pack", *learners.math, "--name", "a/b", "--version", "1.0.0", "--probes", probes,
        code=1, kind="spec",
    )  # fmt: skip
    assert "line 2" in said
    assert "token_loss" in said
    assert list(world.project.iterdir()) == []


def test_pack_refuses_an_encoder_metric_for_a_causal_model(
    world: World, learners: Learners
) -> None:
    items = [{"query": f"q{n}", "document": f"d{n}"} for n in range(3)]
    probes = write_probes(world.folder / "mrr.jsonl", items)
    said = world.fail(
        "pack", *learners.math, "--name", "a/b", "--version", "1.0.0", "--probes", probes,
        code=1, kind="graft",
    )  # fmt: skip
    assert "mrr needs an encoder" in said


def test_pack_probes_with_a_base_without_tokenizer_fails_with_a_hint(
    world: World, models: Any
) -> None:
    probes = write_probes(world.folder / "p.jsonl", [{"text": "a text"}])
    said = world.fail(
        "pack", *models.pair("fp32"), "--name", "a/b", "--version", "1.0.0", "--probes", probes,
        code=1, kind="graft",
    )  # fmt: skip
    assert "tokenizer" in said


def test_pack_probes_without_a_gain_adds_a_note(world: World, learners: Learners) -> None:
    probes = write_probes(world.folder / "m.jsonl", MATH_PROBES)
    outcome = world.run(
        "pack", *learners.colors, "--name", "a/b", "--version", "1.0.0", "--probes", probes
    )
    assert outcome.code == 0
    assert "the probes measure no gain: exact_match" in outcome.err


def test_pack_probes_runs_a_model_with_grown_embeddings_from_its_folder(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    model = LlamaForCausalLM.from_pretrained(learners.math[1])
    model.resize_token_embeddings(len(tiny_learners.LETTERS) + 2, mean_resizing=False)
    grown = tiny_learners.store(model, tmp_path / "grown")
    probes = write_probes(world.folder / "m.jsonl", MATH_PROBES)
    pack = world.pack((learners.base, grown), "acme/math", "1.0.0", "--probes", probes)
    world.init(learners.base)
    world.ask("install", pack)
    assert all(one["passed"] for one in world.ask("probe")["results"])


def test_pack_stores_the_probe_file_unchanged(world: World, learners: Learners) -> None:
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    pack = world.pack(learners.math, "acme/math", "1.0.0", "--probes", probes)
    assert probes.read_bytes() in pack.read_bytes()
    assert json.loads(probes.read_text().splitlines()[0]) == {"probes": 1, "tolerance": 0.1}


def routed(world: World, learners: Learners, *more: object) -> None:
    """A routed project with `acme/math`, and with noise that would ruin it in a merge."""
    # The router of so small a base makes errors, and sends some texts to the base.
    lines = ({"probes": 1, "tolerance": 0.7}, *MATH_PROBES[1:])
    probes = write_probes(world.folder / "math.jsonl", lines)
    math = world.pack(learners.math, "acme/math", "1.0.0", "--probes", probes, *more)
    world.init(learners.base)
    world.file.write_text(world.file.read_text() + '\n[graft]\nmode = "routed"\n')
    world.ask("install", math, learners.pack(world, "noise"))


def test_probe_in_routed_mode_routes_each_item(world: World, learners: Learners) -> None:
    texts = [a + b for a in tiny_learners.MATH for b in ("", *tiny_learners.MATH)]
    texts += [a + b[:4] for a in tiny_learners.MATH for b in tiny_learners.MATH]
    examples = write_probes(world.folder / "router.jsonl", [{"text": text} for text in texts])
    general = [a + b for a in tiny_learners.GENERAL for b in ("", *tiny_learners.GENERAL)]
    other = write_probes(world.folder / "general.jsonl", [{"text": text} for text in general])
    routed(world, learners, "--router", examples, "--router-background", other)
    found = json.loads(world.run("probe", "--json").out)
    assert found["mode"] == "routed"
    exact, loss = found["results"]
    assert exact["passed"]
    assert exact["now"] > exact["base"]
    assert loss["recorded"] <= loss["now"] < loss["base"], "texts like the examples go to the skill"


def test_probe_in_routed_mode_without_signatures_uses_the_base(
    world: World, learners: Learners
) -> None:
    routed(world, learners)
    for one in world.ask("probe", code=1)["results"]:
        assert one["now"] == pytest.approx(one["base"], rel=1e-4)


def test_probe_of_an_empty_environment_reports_it(world: World, learners: Learners) -> None:
    world.init(learners.base)
    found = world.run("probe")
    assert (found.code, found.out) == (0, "")
    assert "no skills are installed" in found.err


def test_a_lossy_pack_states_its_effect_on_the_probes(world: World, learners: Learners) -> None:
    base, tuned = learners.math
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    asked = ("pack", base, tuned, "--name", "acme/math", "--version", "1.0.0", "--probes", probes)
    found = world.ask(*asked, "--budget", "45%")
    (effect,) = found["effects"]
    assert found["relative_error"] > 0
    assert effect["text"] == "probes"
    assert 0 < effect["divergence"] < effect["base_divergence"]
    assert effect["tuned_loss"] < effect["loss"] + 0.05 < effect["base_loss"]
    assert 0.5 < effect["gain_kept"] < 1.1
    manifest = world.ask("inspect", found["path"])["manifest"]
    recorded = {one["metric"]: one for one in manifest["capabilities"]}
    for metric, scores in effect["scores"].items():
        assert scores["tuned"] == recorded[metric]["value"]
        assert scores["base"] == recorded[metric]["base_value"]
    assert manifest["compression"]["settings"]["probes"]["divergence"] == effect["divergence"]
    size, budget = Path(found["path"]).stat().st_size, 0.45 * found["delta_bytes"]
    assert size <= budget
    world.ask("verify", found["path"], "--base", base)
    said = world.run(*asked, "--budget", "45%", "-o", world.folder / "again.skillpack").out
    line = next(line for line in said.splitlines() if "probes: " in line)
    assert "% of the gain kept; loss " in line
    assert "differs from the tuned model by " in line
    assert "exact_match" in line


def test_the_recorded_score_of_a_lossy_pack_is_that_of_its_graft(
    world: World, learners: Learners
) -> None:
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    found = world.ask(
        "pack", *learners.math, "--name", "acme/math", "--version", "1.0.0",
        "--probes", probes, "--budget", "45%",
    )  # fmt: skip
    world.init(learners.base)
    world.ask("install", found["path"])
    code = world.run("probe").code
    measured = {one["metric"]: one["now"] for one in world.ask("probe", code=code)["results"]}
    (effect,) = found["effects"]
    for metric, scores in effect["scores"].items():
        assert scores["pack"] == pytest.approx(measured[metric], rel=1e-3)


def test_an_exact_pack_states_no_effect(world: World, learners: Learners) -> None:
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    asked = ("pack", *learners.math, "--name", "acme/math", "--version", "1.0.0")
    assert world.ask(*asked, "--probes", probes)["effects"] == []
    exact = world.ask(
        *asked, "--probes", probes, "--budget", "400%", "-o", world.folder / "b.skillpack"
    )
    assert exact["relative_error"] == 0
    assert exact["effects"] == []
