"""The memory of attached skills: their manifests; ready skills stay under a limit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from live_worlds import IDS, LiveWorld, says

import skillpm

Worlds = Callable[[str], LiveWorld]


def test_base_is_memory_mapped_and_writes_stay_private(live: Worlds) -> None:
    world = live("llama")
    before = (world.base / "model.safetensors").read_bytes()
    with skillpm.open_project(world.world.project, home=world.world.home) as project:
        model = project.load_model()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [
        tuple(int(side, 16) for side in line[0].split("-"))
        for line in maps
        if line[-1] == str(world.base / "model.safetensors") and line[1] == "rw-p"
    ]
    for parameter in model.parameters():
        place = parameter.data_ptr()
        assert any(start <= place < stop for start, stop in spans)
    with torch.no_grad():
        inner: Any = model.model
        inner.norm.weight.add_(1.0)
    assert (world.base / "model.safetensors").read_bytes() == before


def test_attached_skill_uses_no_memory_until_it_is_used(live: Worlds) -> None:
    model = live("llama").load_model()
    sizes = model.skill_bytes()
    assert all(ready == 0 for _, ready in sizes.values())
    assert all(payload > 0 for payload, _ in sizes.values())
    with model.use_skill("acme/lora"):
        says(model)
    # Three matrices per layer of rank 4 in float32: 4 · (64 + 48 + 96) numbers, in two layers.
    assert model.skill_bytes()["acme/lora"][1] == 4 * 4 * (64 + 48 + 96) * 2


def test_ready_skills_stay_within_the_limit_by_last_use(
    live: Worlds,
) -> None:
    model = live("llama").load_model(cache_bytes=20_000)
    assert model.warm("acme/lora", "acme/norms") == ("acme/lora", "acme/norms")
    with model.use_skill("acme/lora"):
        pass
    with model.use_skill("acme/full"):  # larger than the limit: no other skill stays
        inside = says(model)
        model.warm("acme/norms")
        assert model.warm("acme/lora") == ("acme/lora", "acme/norms")
        assert torch.equal(says(model), inside)
    assert sum(ready for _, ready in model.skill_bytes().values()) <= 20_000


@pytest.mark.parametrize("kind", ["tied", "gpt2"])
def test_tied_tensor_is_stored_once(live: Worlds, kind: str) -> None:
    world = live(kind)
    model = world.load_model()
    model.warm("acme/full")
    weights = sum(p.nbytes for p in model.parameters())
    assert model.skill_bytes()["acme/full"][1] == weights


def test_embedding_keeps_only_the_changed_rows(live: Worlds) -> None:
    world = live("rows")
    model = world.load_model()
    with model.use_skill("acme/rows"):
        found = says(model)
    assert model.skill_forms("acme/rows") == {"model.embed_tokens.weight": "rows"}
    assert model.skill_bytes()["acme/rows"][1] == 96 * 4 + 3 * 32 * 4
    assert torch.equal(found, says(world.graft("acme/rows")))
    assert not torch.equal(found, says(model))
    with model.use_skill(["acme/rows", None]):
        mixed = says(model, IDS.repeat(2, 1))
    assert torch.allclose(mixed[0], found[0], atol=1e-6)
