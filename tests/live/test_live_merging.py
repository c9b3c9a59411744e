"""A live skill that requires others is merged with them by the lock's method, as in its graft."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from live_worlds import LORA, LiveWorld, says, start
from tiny_adapters import Case, make
from tiny_models import llama, nudge, save

from skillpm.spec.merging import METHODS, SUM

ATTENTION = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    """Two pairs of skills, lossless and LoRA; the second of each requires the first."""
    folder: Path = tmp_path_factory.mktemp("met")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKILLPM_HOME", str(folder / "home"))
        patch.setenv("SKILLPM_CONFIG", str(folder / "config.toml"))
        made = start(folder, llama())
        made.install("acme/full", save(nudge(llama(), only="mlp"), folder / "low"))
        tuned = save(nudge(llama(), only="mlp", seed=2), folder / "high")
        made.install("acme/more", tuned, "--requires", "acme/full")
        made.install("acme/lora", make(folder / "lora-1", Case(LORA, llama)).adapter)
        tuned = make(folder / "lora-2", Case({**LORA, "r": 2}, llama)).adapter
        made.install("acme/lore", tuned, "--requires", "acme/lora")
        yield made


def _merge_by(world: LiveWorld, method: str) -> None:
    text = world.world.file.read_text().split("\n[graft]")[0].rstrip("\n")
    world.world.file.write_text(f'{text}\n\n[graft]\nmethod = "{method}"\n')
    world.world.ask("-C", world.world.project, "install")


@pytest.mark.parametrize("method", [method for method in METHODS if method != SUM])
def test_shared_tensors_are_merged_by_the_method_of_the_lock(met: LiveWorld, method: str) -> None:
    _merge_by(met, method)
    model = met.load_model()
    for skill in ("acme/more", "acme/lore"):
        assert set(model.skill_forms(skill).values()) == {"dense"}
        with model.use_skill(skill):
            assert torch.equal(says(model), says(met.graft(skill))), skill
    assert model.skill_forms("acme/lora")[ATTENTION] == "factors"


def test_summed_factors_stay_factors(met: LiveWorld) -> None:
    _merge_by(met, SUM)
    model = met.load_model()
    assert model.skill_forms("acme/lore")[ATTENTION] == "factors"
    with model.use_skill("acme/lore"):
        assert torch.allclose(says(model), says(met.graft("acme/lore")), atol=1e-5)
