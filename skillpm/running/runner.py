"""A model as transformers loads it, made to answer batches: a causal LM, or a sentence encoder.

What a causal LM answers is a distribution over the next token; what an encoder answers is the unit
vector of a text, the mean over its tokens. Divergence is KL in nats a token for the first, and the
squared distance for the second.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging

from skillpm.errors import GraftError
from skillpm.running.folder import (
    checked_config,
    dtype_for,
    is_causal,
    is_foreign,
    load_weights,
    memory,
    not_runnable,
    placed,
    refuse_adapter,
    stored_bytes,
)
from skillpm.running.foreign import ForeignModelFiles

TOKENS = 256
"""A sequence's length."""
BATCH = 4
logging.set_verbosity_error()
logging.disable_progress_bar()


@dataclass(frozen=True)
class Batch:
    """Token ids and their mask, [texts, tokens]."""

    ids: torch.Tensor
    mask: torch.Tensor

    @property
    def tokens(self) -> int:
        """How many tokens count."""
        return int(self.mask.sum())


@dataclass
class Runner:
    """A loaded model, evaluation mode, on a device; in float32 unless memory is short."""

    model: Any
    tokenizer: Any
    causal: bool
    device: str

    @classmethod
    def load(cls, folder: Path, device: str, foreign: ForeignModelFiles | None = None) -> "Runner":
        """Load a model folder, its safetensors alone: no pickle, no adapter beside them.

        `foreign` is given where the folder's small files are a stranger's: the sandbox reads its
        config first, and its tokenizer runs there alone. Raises `GraftError` where it is no model
        that can be run.
        """
        refuse_adapter(folder)
        try:
            if foreign is not None:
                foreign.check_config(folder)
            config = checked_config(folder)
            causal = is_causal(config)
            if config.is_encoder_decoder:
                raise GraftError(f"`{folder}` is an encoder-decoder, which cannot be run yet")
            kind: Any = AutoModelForCausalLM if causal else AutoModel
            dtype = dtype_for(config.dtype, stored_bytes(folder), memory())
            model = load_weights(kind, config, folder, dtype)
            tokenizer: Any
            if foreign is None:
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            else:
                tokenizer = foreign.tokenizer(folder)
        except BaseException as problem:
            if not is_foreign(problem):
                raise
            hint = "it needs config.json and the tokenizer beside its weights"
            raise not_runnable(folder, problem, hint) from problem
        return cls(placed(model.eval(), device), tokenizer, causal, device)

    @property
    def minds_padding(self) -> bool:
        """Whether the config's `pad_token_id` has a say in what is computed.

        Some families count positions from it (RoBERTa, XGLM). An embedding knows it for training.
        """
        return any(
            hasattr(module, "padding_idx")
            for module in self.model.modules()
            if not isinstance(module, (torch.nn.Embedding, PreTrainedModel))
        )

    def batches(self, texts: Iterable[str]) -> list[Batch]:
        """Texts as batches: of equal slices of their stream for an LM, padded for an encoder."""
        if self.causal:
            return self._stream(texts)
        rows = [self._ids(text)[:TOKENS] for text in texts]
        rows = sorted((row for row in rows if row), key=len)
        return [self.padded(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]

    def _ids(self, text: str) -> list[int]:
        return cast("list[int]", self.tokenizer(text, truncation=False)["input_ids"])

    def _stream(self, texts: Iterable[str]) -> list[Batch]:
        stream = torch.tensor([one for text in texts for one in self._ids(text)])
        length = min(TOKENS, len(stream))
        count = len(stream) // max(1, length)
        rows = stream[: count * length].view(count, length)
        parts = (rows[at : at + BATCH] for at in range(0, count, BATCH))
        return [
            Batch(part.to(self.device), torch.ones_like(part).to(self.device)) for part in parts
        ]

    def padded(self, rows: Sequence[Sequence[int]], *, least: int = 1) -> Batch:
        """Rows of ids as one batch, `least` wide or more: what is padded comes last."""
        width = max(least, *map(len, rows))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        return Batch(ids.to(self.device), mask.to(self.device))

    def answer(self, batch: Batch) -> torch.Tensor:
        """Log-probabilities [texts · tokens, vocabulary], or unit vectors [texts, width]."""
        out = self.model(input_ids=batch.ids, attention_mask=batch.mask)
        if self.causal:
            return torch.log_softmax(out.logits.float().flatten(0, 1), dim=-1)
        mask = batch.mask.unsqueeze(-1)
        mean = (out.last_hidden_state * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean, dim=-1)

    def sampled(self, batch: Batch, draw: torch.Generator) -> torch.Tensor:
        """A scalar whose gradient is one draw of the true Fisher's root.

        The log-likelihood of labels that the model itself draws; for vectors, their product with
        Gaussian noise: its Fisher is that of the squared distance.
        """
        answer = self.answer(batch)
        if not self.causal:
            noise = torch.randn(answer.shape, generator=draw).to(answer)
            return (answer * noise).sum()
        chances = answer.detach().exp().cpu()
        labels = torch.multinomial(chances, 1, generator=draw).to(answer.device)
        return -answer.gather(1, labels).sum()

    def count(self, batch: Batch) -> int:
        """What divergence is a mean over: tokens of an LM, texts of an encoder."""
        return batch.tokens if self.causal else len(batch.ids)

    def place(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put tensors of a checkpoint into the model, by the names that they have there."""
        names = self.names(weights)
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for parameter, tensor in names.items():
                parameters[parameter].copy_(weights[tensor])

    def names(self, tensors: Iterable[str]) -> dict[str, str]:
        """The checkpoint's tensor for each parameter; see `checkpoint_names`."""
        return checkpoint_names((name for name, _ in self.model.named_parameters()), tensors)


def checkpoint_names(parameters: Iterable[str], tensors: Iterable[str]) -> dict[str, str]:
    """The checkpoint's tensor for each parameter: its name, or that behind one prefix."""
    known = set(tensors)
    by_tail: dict[str, str] = {}
    for tensor in sorted(known):
        parts = tensor.split(".")
        for cut in range(1, min(3, len(parts))):
            by_tail.setdefault(".".join(parts[cut:]), tensor)
    found: dict[str, str] = {}
    for parameter in parameters:
        tail = parameter.partition(".")[2]
        likely = (parameter, by_tail.get(parameter), tail)
        named = next((one for one in likely if one in known), None)
        if named:
            found[parameter] = named
    return found


@torch.no_grad()
def divergence(runner: Runner, batches: list[Batch], answers: list[torch.Tensor]) -> float:
    """The mean divergence of a model from answers that another gave to the same batches."""
    total, count = 0.0, 0
    for batch, target in zip(batches, answers, strict=True):
        mine = runner.answer(batch)
        theirs = target.to(mine)
        if runner.causal:
            total += float((theirs.exp() * (theirs - mine)).sum())
        else:
            total += float((theirs - mine).square().sum())
        count += runner.count(batch)
    return total / max(1, count)


@torch.no_grad()
def answers_of(runner: Runner, batches: list[Batch]) -> list[torch.Tensor]:
    """What a model answers, in half the room of float32 for distributions."""
    kind = torch.float16 if runner.causal else torch.float32
    return [runner.answer(batch).to(kind).cpu() for batch in batches]
