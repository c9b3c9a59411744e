"""Hidden states of a running model, pooled over the tokens of a text; and generated texts."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from skillpm.errors import GraftError
from skillpm.running.runner import TOKENS, Runner

PART = 16
"""The number of texts in a batch. Texts of similar length share a batch, to reduce padding."""
_GENERATED_TOKENS = 64
"""The number of tokens of a generated text."""
_SEED = 0


@torch.no_grad()
def pooled(runner: Runner, texts: Sequence[str], depths: Sequence[float]) -> torch.Tensor:
    """The mean hidden state of each text at relative `depths` (1 is the last layer).

    Returns float32 [texts, depths, width] on the CPU. Uses the first `length_of(runner)` tokens of
    a text; a text without tokens gives zeros. Each token's state is scaled to unit length before
    averaging: the model reads its states through a norm, and the states of some tokens are much
    larger than all others (Sun et al. 2024, massive activations).
    """
    rows = [row[: length_of(runner)] for row in _ids(runner, texts)]
    order = sorted((at for at, row in enumerate(rows) if row), key=lambda at: len(rows[at]))
    states = torch.zeros(len(rows), len(depths), hidden_size(runner))
    for start in range(0, len(order), PART):
        indices = order[start : start + PART]
        states[indices] = _means(runner, [rows[at] for at in indices], depths)
    return states


def length_of(runner: Runner) -> int:
    """The number of tokens of a text that are used: `TOKENS`, or the model's limit."""
    most = getattr(runner.model.config, "max_position_embeddings", None)
    return min(TOKENS, int(most)) if most else TOKENS


def _ids(runner: Runner, texts: Sequence[str]) -> list[list[int]]:
    limit = length_of(runner)
    return [
        runner.tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in texts
    ]


def hidden_size(runner: Runner) -> int:
    """The width of a hidden state. Raises `GraftError` if the config does not state it."""
    width = getattr(runner.model.config, "hidden_size", None)
    if not isinstance(width, int):
        raise GraftError(
            "the base's config has no `hidden_size`: the router cannot use its hidden states"
        )
    return width


def _means(runner: Runner, rows: list[list[int]], depths: Sequence[float]) -> torch.Tensor:
    batch = runner.padded(rows)
    out = runner.model(input_ids=batch.ids, attention_mask=batch.mask, output_hidden_states=True)
    last = len(out.hidden_states) - 1
    kept = [out.hidden_states[round(depth * last)].float() for depth in depths]
    states = torch.nn.functional.normalize(torch.stack(kept, dim=1), dim=-1)
    weight = batch.mask[:, None, :, None]
    means = (states * weight).sum(2) / weight.sum(2)  # [texts, depths, width]
    return means.cpu()


@torch.no_grad()
def generate_texts(runner: Runner, count: int) -> list[str]:
    """Sample texts from a causal LM without a prompt; they resemble its training data.

    Every token is sampled from the model's distribution at temperature 1. The seed is fixed, so the
    texts are the same on the same machine. An encoder generates no texts.
    """
    config = runner.model.config
    first = config.bos_token_id if config.bos_token_id is not None else config.eos_token_id
    if not runner.causal or first is None:
        return []
    ids = torch.full((count, 1), int(first), device=runner.device)
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        generated = _generate(
            runner.model,
            ids,
            max_new_tokens=min(_GENERATED_TOKENS, length_of(runner) - 1),
            pad_token_id=int(first),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
        )
    return [runner.tokenizer.decode(row[1:], skip_special_tokens=True) for row in generated.cpu()]


def _generate(model: Any, ids: torch.Tensor, **settings: Any) -> torch.Tensor:
    """Generate with these settings only, ignoring the base's own generation config."""
    defaults: Any = GenerationConfig
    kept, model.generation_config = model.generation_config, defaults()
    try:
        mask = torch.ones_like(ids)
        generated: torch.Tensor = model.generate(ids, attention_mask=mask, **settings)
    finally:
        model.generation_config = kept
    return generated
