"""Running a model that transformers loads: a causal LM or a sentence encoder.

The answer of a causal LM is the distribution of each next token. The answer of an encoder is the
mean of a text's token vectors, scaled to unit length. The divergence of two answers is the KL
divergence in nats per token for a causal LM, and the squared distance for an encoder.
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
    is_causal,
    is_foreign,
    is_too_large,
    load_weights,
    move_to_device,
    not_runnable,
    refuse_adapter,
)
from skillpm.running.streamed import StreamedModel, load_streamed
from skillpm.running.untrusted_files import UntrustedModelFiles

TOKENS = 256
"""The largest number of tokens in a sequence."""
BATCH = 4
"""The number of sequences in a batch."""
_SAMPLED_ROWS = 64
"""Distributions from which labels are drawn at once; all of a batch would fill memory."""
logging.set_verbosity_error()
logging.disable_progress_bar()


@dataclass(frozen=True)
class Batch:
    """Token IDs and their attention mask, both int64 [texts, tokens]."""

    ids: torch.Tensor
    mask: torch.Tensor

    def rows(self) -> "list[Batch]":
        """A batch for each sequence."""
        pairs = zip(self.ids.split(1), self.mask.split(1), strict=True)
        return [Batch(*pair) for pair in pairs]

    @property
    def tokens(self) -> int:
        """The number of tokens that are not padding."""
        return int(self.mask.sum())


@dataclass
class Runner:
    """A loaded model in evaluation mode on a device; in float32 unless memory is short.

    `streamed` is set if the layers of `model` are read whenever they run.
    """

    model: Any
    tokenizer: Any
    causal: bool
    device: str
    streamed: StreamedModel | None = None

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str,
        foreign: UntrustedModelFiles | None = None,
        *,
        may_stream: bool = False,
    ) -> "Runner":
        """Load the safetensors of a model folder; never pickle files or adapters.

        Pass `foreign` if the files of the folder are untrusted: then the sandbox checks the config
        first, and the tokenizer runs in the sandbox. With `may_stream`, a causal LM that is too
        large for the memory runs layer by layer on the CPU, in float32. Raises `GraftError` if the
        model cannot be run.
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
            streamed = None
            if may_stream and causal and device == "cpu" and is_too_large(config, folder):
                streamed = load_streamed(kind, config, folder)
            model = streamed.model if streamed else load_weights(kind, config, folder)
            tokenizer: Any
            if foreign is None:
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            else:
                tokenizer = foreign.tokenizer(folder)
        except BaseException as problem:
            if not is_foreign(problem):
                raise
            hint = "a model folder needs config.json and the tokenizer's files"
            raise not_runnable(folder, problem, hint) from problem
        return cls(move_to_device(model.eval(), device), tokenizer, causal, device, streamed)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's floating point parameters."""
        floats = (value.dtype for value in self.model.parameters() if value.is_floating_point())
        return next(floats, torch.float32)

    @property
    def uses_pad_token(self) -> bool:
        """Whether the config's `pad_token_id` affects the model's answers.

        RoBERTa and XGLM, for example, count positions from it. An embedding's `padding_idx` affects
        only training and is not considered.
        """
        return any(
            hasattr(module, "padding_idx")
            for module in self.model.modules()
            if not isinstance(module, (torch.nn.Embedding, PreTrainedModel))
        )

    def batches(self, texts: Iterable[str]) -> list[Batch]:
        """Tokenize texts into batches.

        For a causal LM, the tokens of all texts are concatenated and cut into at least two
        sequences of equal length. For an encoder, each text is one padded sequence of at most
        `TOKENS` tokens.
        """
        if self.causal:
            return self._stream(texts)
        rows = [self._ids(text)[:TOKENS] for text in texts]
        rows = sorted((row for row in rows if row), key=len)
        return [self.padded(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]

    def _ids(self, text: str) -> list[int]:
        return cast("list[int]", self.tokenizer(text, truncation=False)["input_ids"])

    def _stream(self, texts: Iterable[str]) -> list[Batch]:
        stream = torch.tensor([token for text in texts for token in self._ids(text)])
        length = min(TOKENS, len(stream) // 2)
        count = len(stream) // max(1, length)
        rows = stream[: count * length].view(count, length)
        parts = (rows[at : at + BATCH] for at in range(0, count, BATCH))
        return [
            Batch(part.to(self.device), torch.ones_like(part).to(self.device)) for part in parts
        ]

    def padded(self, rows: Sequence[Sequence[int]], *, least: int = 1) -> Batch:
        """One batch of rows of token IDs, padded on the right to at least `least` tokens."""
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

    def sampled_loss(self, batch: Batch, draw: torch.Generator) -> torch.Tensor:
        """A random scalar; the mean outer product of its gradient is the Fisher information.

        For a causal LM, it is the negative log-likelihood of labels sampled from the model itself
        (the true Fisher information, not the empirical one). For an encoder, it is the product of
        its vectors with Gaussian noise, which gives the Fisher information of the squared distance.
        """
        answer = self.answer(batch)
        if not self.causal:
            noise = torch.randn(answer.shape, generator=draw).to(answer)
            return (answer * noise).sum()
        labels = [_sampled(part, draw) for part in answer.detach().split(_SAMPLED_ROWS)]
        return -answer.gather(1, torch.cat(labels).to(answer.device)).sum()

    def count(self, batch: Batch) -> int:
        """The number of answers in a batch: tokens of a causal LM, texts of an encoder."""
        return batch.tokens if self.causal else len(batch.ids)

    def place(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Copy tensors of a checkpoint into the model's parameters."""
        names = self.names(weights)
        if self.streamed:
            self.streamed.weights.placed, self.streamed.weights.names = weights, names
            names = {name: names[name] for name in names.keys() - self.streamed.streamed}
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for parameter, tensor in names.items():
                parameters[parameter].copy_(weights[tensor])

    def names(self, tensors: Iterable[str]) -> dict[str, str]:
        """The checkpoint's tensor name for each parameter; see `checkpoint_names`."""
        return checkpoint_names((name for name, _ in self.model.named_parameters()), tensors)


def _sampled(log_probabilities: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Labels [k, 1] drawn from distributions [k, vocabulary]. The inverse of their sums is fast."""
    sums = log_probabilities.exp().cpu().cumsum(1)
    places = torch.rand((len(sums), 1), generator=draw) * sums[:, -1:]
    return torch.searchsorted(sums, places).clamp_max_(sums.shape[1] - 1)


def checkpoint_names(parameters: Iterable[str], tensors: Iterable[str]) -> dict[str, str]:
    """The checkpoint's tensor name for each parameter that has one.

    The two names are equal, or equal after removing up to two components from the start of the
    tensor's name, or one from the start of the parameter's.
    """
    stored = set(tensors)
    by_tail: dict[str, str] = {}
    for tensor in sorted(stored):
        parts = tensor.split(".")
        for cut in range(1, min(3, len(parts))):
            by_tail.setdefault(".".join(parts[cut:]), tensor)
    names: dict[str, str] = {}
    for parameter in parameters:
        tail = parameter.partition(".")[2]
        candidates = (parameter, by_tail.get(parameter), tail)
        name = next((candidate for candidate in candidates if candidate in stored), None)
        if name:
            names[parameter] = name
    return names
