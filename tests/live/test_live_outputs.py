"""A live skill has the outputs of its graft; the outputs of the base do not change."""

from collections.abc import Callable

import pytest
import torch
from live_worlds import EXACT, IDS, LiveWorld, says
from skillpm_world import snapshot

Worlds = Callable[[str], LiveWorld]
KINDS = ["llama", "tied", "bert", "gpt2"]


@pytest.mark.parametrize("kind", [*KINDS, "bf16"])
def test_skill_outputs_equal_those_of_its_graft(live: Worlds, kind: str) -> None:
    world = live(kind)
    model = world.load_model()
    base = says(model)
    for skill in model.skills:
        graft = says(world.graft(skill))
        with model.use_skill(skill):
            found = says(model)
        assert not torch.equal(found, base), skill
        if skill in EXACT:
            assert torch.equal(found, graft), skill
        tolerance = 0.05 if kind == "bf16" else 1e-5
        assert torch.allclose(found, graft, atol=tolerance), skill


@pytest.mark.parametrize("kind", KINDS)
def test_switching_back_restores_the_base_and_writes_no_file(live: Worlds, kind: str) -> None:
    world = live(kind)
    files = snapshot(world.base)
    plain = says(world.kind.from_pretrained(world.base))
    model = world.load_model()
    before, weights = says(model), {k: v.clone() for k, v in model.state_dict().items()}
    assert torch.allclose(before, plain, atol=1e-5)
    for skill in (*model.skills, *reversed(model.skills)):
        with model.use_skill(skill):
            says(model)
            with model.use_skill(None):
                assert torch.equal(says(model), before)
        assert torch.equal(says(model), before)
    after = model.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert snapshot(world.base) == files


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_of_a_batch_has_its_own_skill(live: Worlds, kind: str) -> None:
    model = live(kind).load_model()
    skills = [*model.skills, None, *reversed(model.skills), None]
    batch = torch.randint(0, 96, (len(skills), 9), generator=torch.Generator().manual_seed(0))
    with model.use_skill(skills):
        assert model.active == skills
        mixed = says(model, batch)
    for row, skill in enumerate(skills):
        with model.use_skill(skill):
            alone = says(model, batch[row : row + 1])[0]
        assert torch.allclose(mixed[row], alone, atol=1e-5), skill


def test_skill_forms_are_factors_sparse_or_dense_by_codec(
    live: Worlds,
) -> None:
    model = live("llama").load_model()
    names = ("lora", "paper", "full", "norms")
    lora, paper, full, norms = (model.skill_forms(f"acme/{name}") for name in names)
    assert set(lora.values()) == {"factors"}
    assert paper["model.layers.0.self_attn.q_proj.weight"] == "factors"
    assert paper["lm_head.weight"] == "sparse"
    assert set(full.values()) == {"dense"}
    assert set(norms.values()) == {"dense"}
    assert len(norms) == 5


@pytest.mark.parametrize("kind", ["llama", "tied", "gpt2"])
@pytest.mark.parametrize("beams", [1, 3])
def test_generation_of_a_mixed_batch_equals_that_of_each_row(
    live: Worlds, kind: str, beams: int
) -> None:
    model = live(kind).load_model()
    skills = [*model.skills, None]
    batch = torch.randint(1, 96, (len(skills), 5), generator=torch.Generator().manual_seed(1))
    options = {
        "min_new_tokens": 6,
        "max_new_tokens": 6,
        "do_sample": False,
        "num_beams": beams,
        "pad_token_id": 0,
    }
    with model.use_skill(skills):
        mixed = model.generate(batch, **options)
    alone = []
    for row, skill in enumerate(skills):
        with model.use_skill(skill):
            alone.append(model.generate(batch[row : row + 1], **options)[0])
    assert [row.tolist() for row in mixed] == [row.tolist() for row in alone]
    assert len({tuple(row[5:]) for row in mixed.tolist()}) > 1


def test_position_embeddings_in_a_mixed_beam_search_match_each_row(live: Worlds) -> None:
    model = live("gpt2").load_model()
    batch = torch.stack([IDS[0, :5]] * 2)
    options = {"max_new_tokens": 4, "num_beams": 2, "pad_token_id": 0, "do_sample": False}
    with model.use_skill(["acme/places", None]):
        mixed = model.generate(batch, **options)
    with model.use_skill("acme/places"):
        assert torch.equal(mixed[:1], model.generate(batch[:1], **options))
    assert torch.equal(mixed[1:], model.generate(batch[1:], **options))


@pytest.mark.slow
def test_compiled_model_follows_the_active_skill(live: Worlds) -> None:
    model = live("llama").load_model()
    compiled = torch.compile(model, backend="eager")
    base = says(model)
    assert torch.equal(says(compiled), base)
    with model.use_skill("acme/lora"):
        assert torch.equal(says(compiled), says(model))
        assert not torch.equal(says(compiled), base)
    assert torch.equal(says(compiled), base)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_cuda_outputs_equal_cpu_outputs(live: Worlds, kind: str) -> None:
    world = live(kind)
    here, there = world.load_model(), world.load_model(device="cuda")
    skills = [*here.skills, None]
    batch = torch.randint(0, 96, (len(skills), 9))
    with here.use_skill(skills), there.use_skill(skills):
        assert torch.allclose(says(here, batch), says(there, batch.cuda()).cpu(), atol=1e-3)
    before = says(there, batch.cuda())
    with there.use_skill(here.skills[0]):
        says(there, batch.cuda())
    assert torch.equal(says(there, batch.cuda()), before)
