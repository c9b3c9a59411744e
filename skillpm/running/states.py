"""Hidden states of a running model, pooled over the tokens of a text; and text that it makes up."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from skillpm.errors import GraftError
from skillpm.running.runner import TOKENS, Runner

PART = 16
"""Texts that run at once. Like lengths go together, so that little is padding."""
_IMAGINED = 64
"""Tokens of a text that a model makes up."""
_SEED = 0


@torch.no_grad()
def pooled(runner: Runner, texts: Sequence[str], depths: Sequence[float]) -> torch.Tensor:
    """Mean states of each text at relative `depths` (1 is the last layer), [texts, depths, width].

    Float32, on the CPU, of the text's first tokens, up to `length_of(runner)`. Each token's state
    is scaled to unit length first: the model itself reads them through a norm, and some tokens
    outgrow all others (Sun et al. 2024, massive activations). A text without tokens is zeros.
    """
    rows = [row[: length_of(runner)] for row in _ids(runner, texts)]
    order = sorted((at for at, row in enumerate(rows) if row), key=lambda at: len(rows[at]))
    found = torch.zeros(len(rows), len(depths), hidden_size(runner))
    for start in range(0, len(order), PART):
        places = order[start : start + PART]
        found[places] = _means(runner, [rows[at] for at in places], depths)
    return found


def length_of(runner: Runner) -> int:
    """How many tokens of a text are looked at."""
    most = getattr(runner.model.config, "max_position_embeddings", None)
    return min(TOKENS, int(most)) if most else TOKENS


def _ids(runner: Runner, texts: Sequence[str]) -> list[list[int]]:
    limit = length_of(runner)
    return [
        runner.tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in texts
    ]


def hidden_size(runner: Runner) -> int:
    """The width of a state. Raises `GraftError` where the config does not say it."""
    width = getattr(runner.model.config, "hidden_size", None)
    if not isinstance(width, int):
        raise GraftError(
            "the base's config has no `hidden_size`: the router cannot read its states"
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
def imagined(runner: Runner, count: int) -> list[str]:
    """Texts that a causal LM makes up by itself: a sample of what it was trained on, without data.

    Drawn token by token from the model's own distribution, from its first token on; the same
    texts on the same machine. An encoder makes up none.
    """
    config = runner.model.config
    first = config.bos_token_id if config.bos_token_id is not None else config.eos_token_id
    if not runner.causal or first is None:
        return []
    ids = torch.full((count, 1), int(first), device=runner.device)
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        made = _generated(
            runner.model,
            ids,
            max_new_tokens=min(_IMAGINED, length_of(runner) - 1),
            pad_token_id=int(first),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
        )
    return [runner.tokenizer.decode(row[1:], skip_special_tokens=True) for row in made.cpu()]


def _generated(model: Any, ids: torch.Tensor, **asked: Any) -> torch.Tensor:
    """Generate by these settings alone: a base may carry penalties and forced words of its own."""
    plain: Any = GenerationConfig
    kept, model.generation_config = model.generation_config, plain()
    try:
        found: torch.Tensor = model.generate(ids, attention_mask=torch.ones_like(ids), **asked)
    finally:
        model.generation_config = kept
    return found
