"""The candidate environment: evaluation on the running base, and sets that need a new model."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from skillpm_world import World
from tiny_learners import LETTERS, MATH_PROBES, Learners, write_probes
from tiny_models import copy_model, rewrite
from transformers import AutoModel, LlamaConfig, RobertaConfig, XGLMConfig

from skillpm.api.callbacks import Callbacks
from skillpm.api.options import Options
from skillpm.api.session import open_session
from skillpm.archive.reader import open_pack
from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError
from skillpm.flows.change.install import install
from skillpm.flows.change.request import InstallRequest
from skillpm.flows.evaluate.carried import carried_by
from skillpm.flows.evaluate.probe import probe
from skillpm.flows.evaluate.stage import open_candidate
from skillpm.flows.evaluate.trials import Trials
from skillpm.flows.evaluate.tune import tune
from skillpm.flows.guard.guard import guard
from skillpm.flows.session.session import Session
from skillpm.running.runner import Runner
from skillpm.spec.names import SkillName


@pytest.fixture
def session(world: World) -> Iterator[Session]:
    """A session in this project."""
    with ExitStack() as closing:
        yield open_session(Options(folder=world.project), closing.callback)


@pytest.mark.parametrize(
    ("change", "in_place"),
    [
        ({"eos_token_id": 5, "pad_token_id": 1, "use_cache": False, "dtype": "bfloat16"}, True),
        pytest.param({"hidden_act": "relu"}, False, marks=pytest.mark.slow),
        ({"pad_token_id": 1, "rope_parameters": {"rope_theta": 5e5}}, False),
        pytest.param({"tie_word_embeddings": True}, False, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_equivalent_config_is_evaluated_on_the_running_base(
    world: World, learners: Learners, session: Session, change: dict[str, Any], *, in_place: bool
) -> None:
    tuned = copy_model(learners.base, world.folder / "tuned")
    rewrite(tuned, lambda tensors: tensors["model.norm.weight"].add_(0.5))
    config = json.loads((tuned / "config.json").read_text())
    (tuned / "config.json").write_text(json.dumps({**config, **change}))
    world.init(learners.base)
    world.publish((learners.base, tuned), "acme/shift", "1.0.0")
    world.ask("install", "acme/shift")
    project = ProjectFolder(world.project)
    stage = open_candidate(session, project, "cpu")
    shown = stage.runner(project.generation().lockfile)
    assert (shown is stage.host.runner) is in_place
    world.ask("graft")
    alone = Runner.load(world.project / "graft", "cpu")
    texts = ["the cat sat on the mat. "]
    assert torch.equal(*(one.answer(one.batches(texts)[0]) for one in (shown, alone)))


def test_stored_tied_head_is_kept_if_the_embedding_changes(
    world: World, learners: Learners, session: Session
) -> None:
    base = copy_model(learners.base, world.folder / "tied")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    rewrite(
        base, lambda tensors: tensors["lm_head.weight"].copy_(tensors["model.embed_tokens.weight"])
    )
    tuned = copy_model(base, world.folder / "tuned")
    rewrite(tuned, lambda tensors: tensors["model.embed_tokens.weight"].mul_(2))
    world.init(base)
    world.publish((base, tuned), "acme/wide", "1.0.0")
    world.ask("install", "acme/wide")
    world.ask("graft")
    alone = Runner.load(world.project / "graft", "cpu")
    assert alone.model.lm_head.weight is not alone.model.model.embed_tokens.weight
    project = ProjectFolder(world.project)
    shown = open_candidate(session, project, "cpu").runner(project.generation().lockfile)
    batch = alone.batches(["the cat sat on the mat. "])[0]
    assert torch.equal(shown.answer(batch), alone.answer(batch))


def _move_norm(step: float, tensors: dict[str, Any]) -> None:
    tensors["model.norm.weight"].add_(step)


def test_set_that_cannot_be_composed_counts_as_a_failure(
    world: World, learners: Learners, session: Session
) -> None:
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    world.init(learners.base)
    options: dict[str, tuple[object, ...]] = {"more": ("--probes", probes), "less": ()}
    for name, step in (("more", 2**-12), ("less", -(2**-12))):
        tuned = copy_model(learners.base, world.folder / name)
        rewrite(tuned, partial(_move_norm, step))
        pack = world.pack((learners.base, tuned), f"acme/{name}", "1.0.0", *options[name])
        world.ask("install", pack)
    project = ProjectFolder(world.project)
    lock, more = project.generation().lockfile, SkillName.parse("acme/more")
    carried = carried_by(session, lock, [more])
    trials = Trials(open_candidate(session, project, "cpu"), lock, carried)
    assert not trials.fails(more, {more})
    assert trials.fails(more, lock.skills)


def test_base_that_changes_before_it_is_loaded_is_an_error(
    world: World, learners: Learners, session: Session
) -> None:
    base = copy_model(learners.base, world.folder / "base")
    world.init(base)
    stage = open_candidate(session, ProjectFolder(world.project), "cpu")
    rewrite(base, lambda tensors: tensors["model.norm.weight"].add_(1))
    with pytest.raises(IntegrityError, match="changed while it was loaded"):
        stage.check_runs()


@dataclass
class Watched:
    """Records progress: each stage with its total and its counts."""

    stages: list[list[Any]] = field(default_factory=list)

    def start(self, label: str, total: int) -> Callable[[int], None]:
        stage: list[Any] = [label, total, 0]
        self.stages.append(stage)

        def advance(count: int) -> None:
            stage[2] += count

        return advance


def test_guard_probe_and_tune_report_their_progress(world: World, learners: Learners) -> None:
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    math = learners.pack(world, "math", "--probes", probes)
    world.init(learners.base)

    def stages_during(run: Callable[[Session], object]) -> list[list[Any]]:
        watched, options = Watched(), Options(folder=world.project)
        with ExitStack() as closing:
            callbacks = Callbacks(progress=watched.start)
            run(open_session(options, closing.callback, callbacks=callbacks))
        return [one for one in watched.stages if one[0] != "hashing base"]

    request = InstallRequest(files=(open_pack(math),), guard=partial(guard, device="cpu"))
    runs = [
        stages_during(lambda session: install(session, request)),
        stages_during(lambda session: probe(session, (), device="cpu")),
        stages_during(lambda session: tune(session, budget=2, device="cpu", write=False)),
    ]
    items = len(MATH_PROBES) - 1
    for stages in runs:
        found = [one for one in stages if one[0] not in ("trials", "verifying")]
        assert {one[0] for one in found} == {"composing", "probe items"}
        assert all(total == done > 0 for _, total, done in found)
        assert {total for label, total, _ in found if label == "probe items"} == {items}
    assert [one for one in runs[2] if one[0] == "trials"] == [["trials", 2, 2]]


@pytest.mark.parametrize(
    ("config", "minds"),
    [
        (LlamaConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1), False),
        (RobertaConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1), True),
        (XGLMConfig(d_model=8, num_layers=1, attention_heads=1), True),
    ],
    ids=lambda one: getattr(one, "model_type", str(one)),
)
def test_uses_pad_token_is_true_for_positions_counted_from_padding(
    config: Any, *, minds: bool
) -> None:
    config.vocab_size, config.pad_token_id = len(LETTERS), 1
    model = AutoModel.from_config(config)
    assert Runner(model, None, causal=False, device="cpu").uses_pad_token is minds
