"""Uses and misuses of a live model."""

import copy
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context

import pytest
import torch
from live_worlds import IDS, LiveWorld, says
from transformers import LlamaForCausalLM

from skillpm.errors import GraftError, UnknownSkillError, UsageError

Worlds = Callable[[str], LiveWorld]


def test_live_model_is_an_instance_of_the_transformers_class(live: Worlds) -> None:
    model = live("llama").load_model()
    assert isinstance(model, LlamaForCausalLM)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.skills == ("acme/full", "acme/lora", "acme/norms", "acme/paper")
    assert model.refused == {}
    assert model.active is None
    assert model.config.hidden_size == 32
    assert not model.training


def test_save_pretrained_saves_the_base(live: Worlds) -> None:
    world = live("llama")
    model = world.load_model()
    with model.use_skill("acme/full"):
        model.save_pretrained(world.world.folder / "saved")
    again = world.kind.from_pretrained(world.world.folder / "saved").state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())


def test_use_skill_blocks_nest_and_end_after_an_error(live: Worlds) -> None:
    model = live("llama").load_model()
    with model.use_skill("acme/full"):
        with suppress(ZeroDivisionError), model.use_skill(["acme/lora", None]):
            assert model.active == ["acme/lora", None]
            raise ZeroDivisionError
        assert model.active == "acme/full"
    assert model.active is None


def test_unknown_skill_is_refused_with_the_nearest_name(live: Worlds) -> None:
    model = live("llama").load_model()
    for chosen in ("acme/lorra", ["acme/full", "acme/lorra"]):
        with pytest.raises(UnknownSkillError, match="`acme/lorra` is not installed") as caught:
            model.use_skill(chosen)
        assert caught.value.hint == "did you mean `acme/lora`?"
    with pytest.raises(UsageError, match="is empty"):
        model.use_skill([])
    with pytest.raises(UsageError, match="5 is not a skill"):
        model.use_skill(5)


def test_unknown_device_is_refused_with_a_hint(live: Worlds) -> None:
    with pytest.raises(GraftError, match="cannot run on the device 'banana'") as caught:
        live("llama").load_model(device="banana")
    assert caught.value.hint == "`--device cpu` works on every machine"


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_list_of_skills_that_does_not_fit_the_batch_is_refused(live: Worlds, rows: int) -> None:
    model = live("llama").load_model()
    with model.use_skill(["acme/lora", None]):
        with pytest.raises(
            GraftError, match=f"a list of 2 skills does not fit a batch of {rows} row"
        ):
            model(input_ids=IDS.repeat(rows, 1))
        if rows % 2:
            with pytest.raises(GraftError, match="a list of 2 skills"):
                model.generate(IDS.repeat(rows, 1), max_new_tokens=2)


def test_each_thread_has_its_own_active_skill(live: Worlds) -> None:
    model = live("llama").load_model()
    names = ["acme/full", "acme/norms", "acme/lora", None]
    expected = {}
    for name in names:
        with model.use_skill(name):
            expected[name] = says(model)
    wrong: list[str | None] = []

    def run(name: str | None) -> None:
        with model.use_skill(name):
            wrong.extend(name for _ in range(20) if not torch.equal(says(model), expected[name]))

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_new_thread_uses_the_base_unless_the_block_is_bound(live: Worlds) -> None:
    model = live("llama").load_model()
    found = []

    def look() -> None:
        found.append(model.active)

    with model.use_skill("acme/lora") as block:
        context = copy_context()
        targets = [look, block.bind(look), lambda: context.run(look)]
        for target in targets:
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert found == [None, "acme/lora", "acme/lora"]


def test_gradients_flow_through_a_skill_to_the_input(live: Worlds) -> None:
    model = live("llama").load_model()
    vectors = model.get_input_embeddings()(torch.stack([IDS[0]] * 2)).detach().requires_grad_()
    with model.use_skill(["acme/lora", "acme/full"]):
        model(inputs_embeds=vectors).logits.sum().backward()
    assert vectors.grad is not None
    assert (vectors.grad[0] != vectors.grad[1]).any()


def test_changed_dtype_discards_ready_skills(live: Worlds) -> None:
    model = live("llama").load_model()
    model.warm()
    assert model.warm("acme/lora")
    model.to(torch.bfloat16)
    assert all(ready == 0 for _, ready in model.skill_bytes().values())
    with model.use_skill(["acme/lora", "acme/full", "acme/paper", None]):
        found = says(model, IDS.repeat(4, 1))
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()


def test_deepcopy_of_a_live_model_is_refused(live: Worlds) -> None:
    with pytest.raises(GraftError, match="cannot be copied"):
        copy.deepcopy(live("llama").load_model())
