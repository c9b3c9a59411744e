"""Nothing unverified runs, and a skill that cannot run live is refused with a way to continue."""

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from live_worlds import LiveWorld, says, start
from safetensors.torch import load_file, save_file
from skillpm_world import World, snapshot
from tiny_adapters import bert
from tiny_models import Models, llama, nudge, rewrite, save
from transformers import AutoModel, DebertaV2Config, DebertaV2Model

import skillpm
from skillpm.errors import GraftError, IntegrityError, NotFoundError
from skillpm.flows.session.session import open_model
from skillpm.probing.model_host import ModelHost
from skillpm.running.runner import Runner

Worlds = Callable[[str], LiveWorld]


@pytest.fixture
def small(world: World) -> LiveWorld:
    """A base with one lossless skill on its norms."""
    made = start(world.folder / "small", llama())
    made.install("acme/math", save(nudge(llama(), only="norm"), world.folder / "tuned"))
    return LiveWorld(World(made.world.folder), made.base)


def opened(world: World, project: LiveWorld) -> "skillpm.Project":
    return skillpm.open_project(project.world.project, home=world.home)


def test_load_model_writes_nothing_in_the_project(world: World, small: LiveWorld) -> None:
    before = snapshot(small.world.project)
    project = opened(world, small)
    assert [(skill.name, skill.version) for skill in project.skills] == [("acme/math", "1.0.0")]
    with project.load_model().use_skill("acme/math"):
        pass
    assert snapshot(small.world.project) == before


def test_load_model_refuses_a_damaged_payload(world: World, small: LiveWorld) -> None:
    for path in (world.home / "store" / "sha256").glob("*/*"):
        if path.read_bytes()[8:9] == b"{":
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.chmod(0o644)
            path.write_bytes(data)
    with pytest.raises(IntegrityError, match="should be `sha256:"):
        opened(world, small).load_model()


def test_load_model_refuses_another_base(world: World, small: LiveWorld) -> None:
    other = save(nudge(llama(), only="mlp", seed=9), world.folder / "other")
    with pytest.raises(IntegrityError, match=r"the project's base should be `sha256:.*all tensors"):
        skillpm.open_project(small.world.project, home=world.home, base=other).load_model()


def test_base_changed_after_loading_is_detected_when_a_skill_is_prepared(
    world: World, small: LiveWorld
) -> None:
    model = opened(world, small).load_model()

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"] += 1

    path = small.base / "model.safetensors"
    data = bytearray(path.read_bytes())
    rewrite(shutil.copytree(small.base, world.folder / "copy"), change)
    path.write_bytes(data[:-4] + (world.folder / "copy" / "model.safetensors").read_bytes()[-4:])
    with pytest.raises(IntegrityError, match="has changed: its leaf"):
        model.warm("acme/math")


def test_open_project_of_another_folder_fails(world: World) -> None:
    with pytest.raises(NotFoundError, match="is not a project"):
        skillpm.open_project(world.folder, home=world.home)


def test_base_without_a_config_cannot_run(world: World, small: LiveWorld) -> None:
    (small.base / "config.json").unlink()
    with pytest.raises(GraftError, match="cannot be run by transformers"):
        opened(world, small).load_model()


@pytest.mark.parametrize(("kind", "what"), [("grown", "is resized"), ("head", "is added")])
def test_skill_that_changes_shapes_is_refused_by_name(
    world: World, models: Models, kind: str, what: str
) -> None:
    base, tuned = models.pair(kind)
    world.init(base)
    world.ask("install", world.pack((base, tuned), "acme/grown", "1.0.0"))
    with pytest.warns(UserWarning, match="`acme/grown` cannot run live"):
        model = skillpm.open_project(".").load_model()
    assert model.skills == ()
    assert set(model.refused) == {"acme/grown"}
    with pytest.raises(GraftError, match="cannot run live") as caught:
        model.use_skill("acme/grown")
    assert (
        caught.value.hint
        == "`skillpm graft --only acme/grown` writes a model folder with the skill"
    )
    assert says(model).isfinite().all()
    assert what in model.refused["acme/grown"] or "config.json" in model.refused["acme/grown"]


def test_untied_head_on_a_tied_base_runs_live(world: World) -> None:
    made = start(world.folder / "tied", llama(tied=True))
    tuned = llama(tied=False)
    tuned.load_state_dict(llama(tied=True).state_dict())
    made.install("acme/head", save(nudge(tuned), world.folder / "tuned"))
    model = made.load_model()
    with model.use_skill("acme/head"):
        found = says(model)
    assert torch.equal(found, says(made.graft("acme/head")))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_weight_and_layered_packs_equal_the_graft(world: World) -> None:
    made = start(world.folder / "stack", llama())
    made.install("acme/low", save(nudge(llama(), only="mlp"), world.folder / "low"))
    lower = made.graft("acme/low").state_dict()
    upper = llama()
    upper.load_state_dict(lower)
    tuned = save(nudge(upper, only="norm", seed=5), world.folder / "upper")
    made.install("acme/high", tuned, "--over", "acme/low@=1.0.0")
    file = made.world.project / "skillpm.toml"
    text = file.read_text().replace('"^1.0.0"', '{ version = "^1.0.0", weight = 0.5 }', 1)
    file.write_text(text)
    model = made.load_model()
    with model.use_skill("acme/high"):
        assert torch.equal(says(model), says(made.graft("acme/high")))
    assert set(model.skill_forms("acme/high")) > set(model.skill_forms("acme/low"))


def test_ignored_side_files_are_reported_as_a_warning(world: World, small: LiveWorld) -> None:
    tuned = save(nudge(llama(), only="norm", seed=4), world.folder / "talks")
    (tuned / "chat_template.jinja").write_text("{{ messages }}")
    small.install("acme/talks", tuned)
    with pytest.warns(UserWarning, match="its own are ignored: `chat_template.jinja`"):
        model = opened(world, small).load_model()
    assert model.skills == ("acme/math", "acme/talks")


def test_config_change_that_affects_outputs_is_refused(world: World, small: LiveWorld) -> None:
    tuned = nudge(llama(), only="norm", seed=4)
    tuned.config.rms_norm_eps = 0.5
    small.install("acme/other", save(tuned, Path(world.folder / "other")))
    with pytest.warns(UserWarning, match="it changes `rms_norm_eps` in config.json"):
        model = opened(world, small).load_model()
    assert model.skills == ("acme/math",)


def test_weight_that_is_read_without_calling_its_module_is_refused(world: World) -> None:
    """A graft uses the changed weight; a live model would silently use the base's."""
    torch.manual_seed(0)
    configured: Any = DebertaV2Config  # its annotations lack some options
    config = configured(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, relative_attention=True, pos_att_type=["p2c", "c2p"],
        position_buckets=8, max_position_embeddings=32,
    )  # fmt: skip
    base = DebertaV2Model(config).eval()
    made = start(world.folder / "deberta", base, DebertaV2Model)
    for skill, part in (("acme/table", "rel_embeddings"), ("acme/mlp", "intermediate.dense")):
        made.install(skill, save(nudge(deepcopy(base), only=part), world.folder / skill[5:]))
    model = opened(world, made).load_model()
    with model.use_skill("acme/mlp"):
        assert not torch.equal(says(model), says(base))
    with pytest.raises(
        GraftError, match=r"reads the weight of `encoder\.rel_embeddings` without calling"
    ):
        model.use_skill("acme/table").__enter__()
    assert all(not weight.requires_grad for weight in model.parameters())


def test_default_value_of_another_release_does_not_prevent_a_live_skill(
    world: World,
) -> None:
    made = start(world.folder / "spelt", llama())
    tuned = save(nudge(llama(), only="norm"), world.folder / "tuned")
    config = tuned / "config.json"
    config_values = json.loads(config.read_text())
    assert config_values.pop("attention_dropout") == 0.0
    assert "output_attentions" not in config_values
    config.write_text(json.dumps({**config_values, "output_attentions": False}))
    made.install("acme/math", tuned)
    model = opened(world, made).load_model()
    assert model.refused == {}
    with model.use_skill("acme/math"):
        assert not torch.equal(says(model), says(llama()))


def test_buffer_of_older_versions_does_not_prevent_a_live_skill(world: World) -> None:
    """Versions of transformers before 4.31 saved `position_ids`; later versions do not."""
    base, tuned = save(bert(), world.folder / "base"), save(nudge(bert()), world.folder / "tuned")
    stored = load_file(base / "model.safetensors")
    old = {**stored, "embeddings.position_ids": torch.arange(64)[None]}
    save_file(old, base / "model.safetensors", {"format": "pt"})
    world.init(base)
    made = LiveWorld(world, base, AutoModel)
    made.install("acme/full", tuned)
    model = made.load_model()
    assert model.refused == {}
    with model.use_skill("acme/full"):
        assert torch.equal(says(model), says(made.graft("acme/full")))
    stand = ModelHost(
        Runner(AutoModel.from_pretrained(base), None, causal=False, device="cpu"), open_model(base)
    )
    assert stand.fits(open_model(tuned), old)
    del stored["pooler.dense.bias"]
    save_file(stored, tuned / "model.safetensors", {"format": "pt"})
    assert not stand.fits(open_model(tuned), old)
