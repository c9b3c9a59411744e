"""In a batch of several skills each row has its own, in every model, or an error gives a reason."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from live_worlds import LiveWorld, says, start
from skillpm_world import World
from tiny_models import VOCABULARY, nudge, save
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    MixtralConfig,
    MixtralForCausalLM,
    MPNetConfig,
    MPNetModel,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from skillpm.errors import GraftError
from skillpm.live.batch_layout import ROWS, TOKENS, _layout

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
EXPERTS: dict[str, Any] = {**SIZES, "num_key_value_heads": 2, "num_experts_per_tok": 2}
BATCH = 6


def mixtral() -> Any:
    torch.manual_seed(0)
    return MixtralForCausalLM(MixtralConfig(**EXPERTS, num_local_experts=4))


def qwen() -> Any:
    torch.manual_seed(0)
    config = Qwen2MoeConfig(
        **EXPERTS, num_experts=4, moe_intermediate_size=24, shared_expert_intermediate_size=40
    )
    return Qwen2MoeForCausalLM(config)


def llama4() -> Any:
    torch.manual_seed(0)
    own = {"num_experts_per_tok": 1, "num_local_experts": 4, "intermediate_size_mlp": 48}
    config = Llama4TextConfig(**{**EXPERTS, **own}, head_dim=8, pad_token_id=0)
    return Llama4ForCausalLM(config)


def mpnet() -> Any:
    torch.manual_seed(0)
    return MPNetModel(MPNetConfig(**SIZES))


def project(world: World, make: Callable[[], Any], *only: str, kind: Any) -> LiveWorld:
    """A base, and a lossless skill for each named part, `acme/s0` first."""
    made = start(world.folder / "rows", make(), kind)
    for number, part in enumerate(only):
        tuned = save(nudge(make(), only=part, seed=number + 1), world.folder / f"tuned-{number}")
        made.install(f"acme/s{number}", tuned)
    return made


def check_rows(model: Any, *, tokens: int) -> None:
    """Check that each row of a mixed batch has the output that it has alone."""
    skills = ([*model.skills, None] * BATCH)[:BATCH]
    batch = torch.randint(
        2, VOCABULARY, (BATCH, tokens), generator=torch.Generator().manual_seed(5)
    )
    with model.use_skill(skills):
        mixed = says(model, batch)
    for row, skill in enumerate(skills):
        with model.use_skill(skill):
            alone = says(model, batch[row : row + 1])[0]
        assert torch.allclose(mixed[row], alone, atol=1e-5), (row, skill)


@pytest.mark.parametrize(
    ("make", "only"), [(mixtral, ("q_proj", "norm")), (qwen, ("shared_expert.", "self_attn"))]
)
def test_moe_rows_use_their_skills_if_no_expert_is_changed(
    world: World, make: Callable[[], Any], only: tuple[str, ...]
) -> None:
    model = project(world, make, *only, kind=AutoModelForCausalLM).load_model()
    assert len(model.skills) == 2
    for tokens in (1, BATCH, 9):
        check_rows(model, tokens=tokens)


@pytest.mark.slow
def test_changed_experts_are_refused_in_mixed_batches_only(
    world: World,
) -> None:
    made = project(world, llama4, "experts", "self_attn", kind=AutoModelForCausalLM)
    model = made.load_model()
    with pytest.raises(
        GraftError, match=r"`acme/s0` changes `.*experts`, a module that does not"
    ) as caught:
        model.use_skill(["acme/s0", None]).__enter__()
    assert caught.value.hint == "one skill for all rows: `with model.use_skill(NAME):`"
    graft = made.graft("acme/s0")
    for chosen in ("acme/s0", ["acme/s0", "acme/s0"]):
        with model.use_skill(chosen):
            batch = torch.randint(2, VOCABULARY, (2, 4))
            assert torch.allclose(says(model, batch), says(graft, batch), atol=1e-6)
    with model.use_skill(["acme/s1", None]):
        assert says(model, batch).isfinite().all()


def test_square_position_table_is_not_mistaken_for_batch_rows(
    world: World,
) -> None:
    model = project(world, mpnet, "relative", "attn.q", kind=AutoModel).load_model()
    with pytest.raises(GraftError, match=r"`acme/s0` changes `.*relative_attention_bias`"):
        check_rows(model, tokens=BATCH)
    with model.use_skill("acme/s0"):
        assert says(model).isfinite().all()
    with model.use_skill(["acme/s1", None]):
        assert says(model, torch.ones(2, 2, dtype=torch.int64)).isfinite().all()


def _seen(*rows: torch.Tensor) -> dict[str, list[torch.Tensor]]:
    return {"a.experts.0.up": list(rows), "a.up": list(rows)}


@pytest.mark.parametrize(("each", "order", "path", "found"), [
    (1, range(ROWS), "a.up", 1),
    (TOKENS, range(ROWS * TOKENS), "a.up", TOKENS),
    (TOKENS, range(ROWS * TOKENS), "a.experts.0.up", 0),  # all tokens, in order by chance
    (TOKENS, reversed(range(ROWS * TOKENS)), "a.up", 0),
    (2, range(ROWS * 2), "a.up", 0),
    (1, [0, 1, 2, 3], "a.up", 0),
    (1, [0, 2, 1, 3, 4], "a.up", 0),
])  # fmt: skip
def test_layout_accepts_only_rows_in_the_order_of_the_batch(
    each: int, order: Any, path: str, found: int
) -> None:
    places = torch.tensor(list(order))
    values = torch.arange(100.0)[:, None].repeat(1, 3)
    runs = []
    for row in (1, 3):
        changed = values.clone()
        changed[row * each : (row + 1) * each] += 50
        runs.append((row, _seen(changed[places])))
    assert _layout([values[places]], path, runs) == found


def test_layout_of_unaffected_values_follows_their_first_dimension() -> None:
    for shape, found in [((1, TOKENS), 1), ((ROWS, TOKENS), 1), ((TOKENS, TOKENS), 0), ((5,), 0)]:
        ids = torch.zeros(shape, dtype=torch.int64)
        assert _layout([ids], "a.up", [(1, _seen(ids)), (3, _seen(ids))]) == found, shape
    assert _layout([ids], "a.up", [(1, _seen()), (3, _seen())]) == 0


def test_inner_module_called_with_another_batch_size_is_refused(
    live: Callable[[str], LiveWorld],
) -> None:
    model = live("llama").load_model()
    inner = model.model
    with model.use_skill(["acme/lora", None]):
        assert inner(torch.ones(2, 3, dtype=torch.int64)).last_hidden_state.isfinite().all()
        with pytest.raises(GraftError, match="was called with 4 entries for 2 rows"):
            inner(torch.ones(4, 3, dtype=torch.int64))


def test_model_that_cannot_be_tried_allows_one_skill_for_all_rows(
    live: Callable[[str], LiveWorld],
) -> None:
    model = live("llama").load_model()
    model.config.vocab_size = 10**9
    with pytest.raises(GraftError, match="does not run on token ids alone"):
        model.use_skill(["acme/lora", None]).__enter__()
    assert model.active is None
    model.main_input_name = "pixel_values"
    with pytest.raises(GraftError, match="`LlamaForCausalLM` reads `pixel_values`"):
        model.use_skill(["acme/lora", None]).__enter__()
    with model.use_skill(["acme/lora", "acme/lora"]):
        assert says(model, torch.ones(2, 3, dtype=torch.int64)).isfinite().all()
