"""`Project.route`: the base of a live model decides which skill a text is for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from routing_worlds import noise, sums, with_letters, words
from skillpm_world import REPOSITORY, World
from transformers import AutoModelForCausalLM

import skillpm
from skillpm.errors import UsageError
from skillpm.routing.features import features
from skillpm.running.runner import Runner

ASKED = ["812 + 1904 = 2716", "select table where from join", "zzz zzzz. qqqq xx"]
RIGHT = ["acme/sums", "acme/words", None]


@pytest.fixture(scope="module")
def base(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_letters(models.pair("fp32")[0], tmp_path_factory.mktemp("letters") / "base")


@pytest.fixture
def routed(world: World, models: Any, base: Path) -> World:
    """A project with two skills that have signatures."""
    world.init(base)
    other = world.folder / "other.txt"
    other.write_text("\n\n".join(noise(40)))
    for seed, (skill, texts) in enumerate((("sums", sums(32)), ("words", words(32))), start=1):
        file = world.folder / f"{skill}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        pair = (base, models.tuned("mlp", seed)[1])
        world.ask("install", world.pack(pair, f"acme/{skill}", "1.0.0", *_router(file, other)))
    return world


def _router(examples: Path, background: Path) -> tuple[object, ...]:
    return "--router", examples, "--router-background", background


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("the base was loaded again")


def _scores(decisions: list[skillpm.RouteDecision]) -> list[float]:
    return [score for one in decisions for score in one.scores.values()]


def test_route_uses_the_loaded_model(routed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    routed_result = routed.ask("route", ASKED[0])
    with skillpm.open_project(routed.project) as project:
        model = project.load_model()
        monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", _refuse)
        (decision,) = project.route(ASKED[:1])
        assert decision.skill == RIGHT[0]
        assert decision.score == pytest.approx(routed_result["score"], abs=1e-6)
        decisions = project.route(ASKED)
        assert [one.skill for one in decisions] == RIGHT
        ids = torch.arange(6).repeat(3, 1)
        with model.use_skill([one.skill for one in decisions]):
            assert model.active == ["acme/sums", "acme/words", None]
            mixed = model(ids).logits
        for row, one in enumerate(decisions):
            with model.use_skill(one.skill):
                assert torch.allclose(model(ids[:1]).logits[0], mixed[row], atol=1e-5)


def test_route_reads_the_base_for_any_active_skill(routed: World) -> None:
    with skillpm.open_project(routed.project) as project:
        model = project.load_model()
        before = _scores(project.route(ASKED))
        runner = Runner(model, project.load_tokenizer(), causal=True, device="cpu")
        plain = features(runner, ASKED)
        for chosen in ("acme/sums", ["acme/words", None, "acme/sums"]):
            with model.use_skill(chosen):
                assert _scores(project.route(ASKED)) == before
                assert model.active == chosen
        with model.use_skill("acme/sums"):
            assert (features(runner, ASKED) != plain).any()


def test_route_without_a_loaded_model_loads_the_base_once(
    routed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = skillpm.open_project(routed.project)
    assert project.route([]) == []
    first = project.route(ASKED)
    assert [one.skill for one in first] == RIGHT
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", _refuse)
    assert _scores(project.route(ASKED)) == _scores(first)
    project.load_model()
    assert _scores(project.route(ASKED)) == pytest.approx(_scores(first), abs=1e-6)
    routed.ask("uninstall", "acme/sums")
    assert project.route(ASKED[:1])[0].skill is None
    routed.ask("uninstall", "acme/words")
    assert project.route(ASKED[:1])[0].scores == {}
    with pytest.raises(UsageError, match="blank"):
        project.route(["12 + 12", " "])


def test_routing_example_of_the_documentation_runs(routed: World) -> None:
    page = (REPOSITORY / "docs" / "how-to" / "live.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (shown,) = (one for one in blocks if "route(" in one)
    assert routed.project == Path.cwd()
    found: dict[str, Any] = {}
    exec(shown, found)  # noqa: S102 - our own page
    assert found["rows"] == RIGHT[:2]
    assert found["answer"].shape == (1, len(found["text"]) + 8)
