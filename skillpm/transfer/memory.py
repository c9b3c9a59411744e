"""The memory that a transfer needs, from the sizes of its models and the numbers of its file.

The numbers may be a stranger's. Each need is an estimate of the largest amount that is in use at
once.
"""

from dataclasses import dataclass
from typing import Any, Self

BYTES_PER_PARAMETER = 16
"""Of a training in float32: weights, gradients, and two moments of Adam."""
BYTES_PER_TOKEN = 2
"""UTF-8 bytes of a prompt for each of its tokens: few, so that the tokens are an upper bound."""
_FLOAT = 4
_LOGITS = 2
"""Copies of the logits in a training: themselves and their gradients."""
_HIDDEN, _INTERMEDIATE = 6, 3
"""Values that the backward pass of a layer needs for a token, in widths of the layer."""
_DRAWING = 8
"""Arrays of the width of the vocabulary that drawing a token takes: sorted, summed, masked."""
_ANSWER, _ANSWER_TOKEN = 1500, 5
"""Bytes of a recorded answer as an object, and of each token of its text."""
_LARGEST = 1 << 24


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a model; 0 for what its config does not name.

    `weights` is the bytes of the running model, `value_bytes` those of a value that it computes.
    `key_values` is the number of values that a layer keeps of a token. `window` is the most tokens
    of prompt and answer together.
    """

    parameters: int
    weights: int
    value_bytes: int = _FLOAT
    layers: int = 0
    hidden: int = 0
    intermediate: int = 0
    key_values: int = 0
    vocabulary: int = 0
    window: int = _LARGEST

    @classmethod
    def of(cls, config: Any, parameters: int, weights: int, value_bytes: int = _FLOAT) -> Self:
        """The sizes that a config of transformers names."""

        def named(*names: str) -> int:
            values = (getattr(config, name, None) for name in names)
            return next((v for v in values if type(v) is int and 0 < v <= _LARGEST), 0)

        hidden, heads = named("hidden_size"), named("num_attention_heads")
        width = named("head_dim") or hidden // max(1, heads)
        return cls(
            parameters,
            weights,
            value_bytes,
            layers=named("num_hidden_layers"),
            hidden=hidden,
            intermediate=named("intermediate_size", "ffn_dim", "d_ff", "n_inner") or 4 * hidden,
            key_values=2 * (named("num_key_value_heads") or heads) * width,
            vocabulary=named("vocab_size"),
            window=named("max_position_embeddings") or _LARGEST,
        )


@dataclass(frozen=True)
class MemoryNeed:
    """An amount of memory in bytes, for what, how it follows, and what makes it smaller."""

    what: str
    size: int
    arithmetic: str
    hint: str


def training_need(model: ModelSize, rows: int, tokens: int) -> MemoryNeed:
    """The memory of a training step, of which `rows` rows of up to `tokens` tokens run at once."""
    tokens = min(tokens, model.window)
    layer = _HIDDEN * model.hidden + _INTERMEDIATE * model.intermediate
    token = _FLOAT * (_LOGITS * model.vocabulary + model.layers * layer)
    weights = BYTES_PER_PARAMETER * model.parameters
    return MemoryNeed(
        "training",
        weights + rows * tokens * token,
        f"{BYTES_PER_PARAMETER} bytes for each of {model.parameters:,} parameters, and "
        f"{token / 1e6:.2f} MB for each of {rows} × {tokens} tokens",
        "use a smaller base, a smaller `micro` or `max_tokens` under [train], or a machine with "
        "more memory",
    )


def generation_need(
    name: str, model: ModelSize, batch: int, prompt: int, answer: int
) -> MemoryNeed:
    """The memory of a batch of answers, each to `prompt` tokens and up to `answer` tokens long."""
    tokens = min(prompt + answer, model.window)
    kept = model.value_bytes * model.layers * model.key_values
    row = tokens * kept + _FLOAT * (_DRAWING * model.vocabulary + min(prompt, tokens) ** 2)
    return MemoryNeed(
        f"answering with {name}",
        model.weights + batch * row,
        f"{model.weights / 1e9:.1f} GB of weights, and {row / 1e6:.1f} MB for each of {batch} "
        f"answers of {tokens} tokens with their prompts",
        "use a smaller `batch` or `max_tokens` under [sample], or shorter prompts",
    )


def answers_need(count: int, tokens: int) -> MemoryNeed:
    """The memory of all recorded answers of up to `tokens` tokens."""
    each = _ANSWER + _ANSWER_TOKEN * tokens
    return MemoryNeed(
        "judging",
        count * each,
        f"{each:,} bytes for each of {count:,} answers",
        "use fewer prompts, or a smaller `draws` or `max_tokens` under [sample]",
    )
