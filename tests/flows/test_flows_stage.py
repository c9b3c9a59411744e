"""The stage: what a set is shown on the running base, and what makes a model of its own."""

import json
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from skillpm_world import World
from tiny_learners import LETTERS, Learners
from tiny_models import copy_model, rewrite
from transformers import AutoModel, LlamaConfig, RobertaConfig, XGLMConfig

from skillpm.cli.state import State, setting_of
from skillpm.environment.project import Project
from skillpm.flows.stage import open_stage
from skillpm.running.runner import Runner


@pytest.mark.parametrize(
    ("change", "in_place"),
    [
        ({"eos_token_id": 5, "pad_token_id": 1, "use_cache": False, "dtype": "bfloat16"}, True),
        ({"hidden_act": "relu"}, False),
        ({"pad_token_id": 1, "rope_theta": 5e5}, False),
        ({"tie_word_embeddings": True}, False),
    ],
    ids=str,
)
def test_a_config_that_computes_the_same_is_shown_on_the_running_base(
    world: World, learners: Learners, change: dict[str, Any], *, in_place: bool
) -> None:
    tuned = copy_model(learners.base, world.folder / "tuned")
    rewrite(tuned, lambda tensors: tensors["model.norm.weight"].add_(0.5))
    config = json.loads((tuned / "config.json").read_text())
    (tuned / "config.json").write_text(json.dumps({**config, **change}))
    world.init(learners.base)
    world.publish((learners.base, tuned), "acme/shift", "1.0.0")
    world.ask("install", "acme/shift")
    project = Project(world.project)
    with ExitStack() as closing:
        setting = setting_of(
            State(project=world.project), closing.callback, progress=lambda *_: lambda _: None
        )
        stage = open_stage(setting, project, "cpu")
        shown = stage.runner(project.generation().lockfile)
        assert (shown is stage.stand.runner) is in_place
        world.ask("graft")
        alone = Runner.load(world.project / "graft", "cpu")
        texts = ["the cat sat on the mat. "]
        assert torch.equal(*(one.answer(one.batches(texts)[0]) for one in (shown, alone)))


@pytest.mark.parametrize(
    ("config", "minds"),
    [
        (LlamaConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1), False),
        (RobertaConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1), True),
        (XGLMConfig(d_model=8, num_layers=1, attention_heads=1), True),
    ],
    ids=lambda one: getattr(one, "model_type", str(one)),
)
def test_a_family_that_counts_from_the_padding_minds_it(config: Any, *, minds: bool) -> None:
    config.vocab_size, config.pad_token_id = len(LETTERS), 1
    model = AutoModel.from_config(config)
    assert Runner(model, None, causal=False, device="cpu").minds_padding is minds
