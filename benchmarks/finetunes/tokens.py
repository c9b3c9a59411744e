"""A byte-level BPE tokenizer of the base's own text, and texts as rows of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.finetunes.corpora import Document

END = "<|end|>"


def learn(documents: Iterable[Document], *, vocabulary: int) -> Any:
    """Train a tokenizer whose alphabet is all 256 bytes, so no text has unknown tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((document.text for document in documents), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END
    )


def rows(tokenizer: Any, documents: Sequence[Document], *, context: int) -> torch.Tensor:
    """All documents concatenated, each after an end token, as [rows, context] of int64.

    The last, shorter row is dropped.
    """
    end = tokenizer.convert_tokens_to_ids(END)
    found = tokenizer.backend_tokenizer.encode_batch([document.text for document in documents])
    line = torch.tensor([token for one in found for token in (end, *one.ids)])
    count = len(line) // context
    return line[: count * context].view(count, context)
