"""Small sources, trained from scratch in seconds, each with a tokenizer of its own.

A source is a model folder that transformers loads: GPT-2, GPT-NeoX, a Llama on bytes, T5 or Mamba.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
END, ANSWER = "<end>", "<answer>"
TEMPLATE = (
    "{% for m in messages %}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}" + ANSWER + "{% endif %}"
)
EMBEDDING_DEVIATION = 0.1
Example = tuple[str, str]
"""A prompt and its right answer."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A source and its training. `vocabulary` is the most tokens; 0: one token a byte.

    `width` of `layers` layers reads at most `context` tokens, prompt and answer together.
    """

    architecture: str = "gpt2"
    vocabulary: int = 459
    width: int = 96
    layers: int = 2
    heads: int = 4
    context: int = 128
    steps: int = 110
    batch: int = 64
    learning_rate: float = 1e-2
    seed: int = 0


def train_source(
    folder: Path,
    examples: Iterator[Example],
    settings: SourceSettings,
    advance: Callable[[int], None] = lambda _step: None,
) -> Path:
    """Train a source on examples, which never repeat, and save it as a model folder.

    Only answers are learnt. `advance` is called after each step with its number.
    """
    drawn = list(islice(examples, settings.steps * settings.batch))
    tokenizer = make_tokenizer((f"{prompt}\n{answer}" for prompt, answer in drawn), settings)
    torch.manual_seed(settings.seed)
    model = BUILDERS[settings.architecture](settings, tokenizer)
    # Copying a word needs distinct embeddings; the usual deviation of 0.02 takes longer to learn.
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=EMBEDDING_DEVIATION)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    collate = _seq2seq_batch if model.config.is_encoder_decoder else _causal_batch
    for step in range(settings.steps):
        chosen = drawn[step * settings.batch :][: settings.batch]
        optimizer.zero_grad()
        model(**collate(tokenizer, chosen)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        advance(step + 1)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(texts: Iterable[str], settings: SourceSettings) -> PreTrainedTokenizerFast:
    """A byte-level BPE that is trained on the texts, with a chat template.

    It has tokens only for the bytes of the texts, and drops others; with `vocabulary` 0, for all.
    """
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    plain.decoder = decoders.ByteLevel()
    special = [END, ANSWER]
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary or 256 + len(special),
        special_tokens=special,
        initial_alphabet=[] if settings.vocabulary else pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    plain.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=[ANSWER],
        chat_template=TEMPLATE,
        model_max_length=settings.context,
    )


def _causal_batch(tokenizer: Any, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """IDs, mask and labels, each int64 [examples, tokens]; labels are those of answers alone."""
    rows = [_encoded(tokenizer, example) for example in examples]
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    labels = torch.full((len(rows), width), -100)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for place, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[place, :end] = torch.tensor([*prompt, *answer])
        labels[place, len(prompt) : end] = torch.tensor(answer)
        mask[place, :end] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _seq2seq_batch(tokenizer: Any, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """IDs and mask [examples, tokens of prompts], and labels [examples, tokens of answers]."""
    rows = [_encoded(tokenizer, example) for example in examples]
    ids, mask = _padded([prompt for prompt, _ in rows], tokenizer.pad_token_id)
    labels, real = _padded([answer for _, answer in rows], -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels.where(real.bool(), -100)}


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def _encoded(tokenizer: Any, example: Example) -> tuple[list[int], list[int]]:
    prompt, answer = example
    return tokenizer(f"{prompt}{ANSWER}")["input_ids"], tokenizer(f"{answer}{END}")["input_ids"]


def _gpt2(settings: SourceSettings, tokenizer: Any) -> Any:
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=settings.width,
        n_layer=settings.layers,
        n_head=settings.heads,
        n_positions=settings.context,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **_ends(tokenizer),
    )
    return transformers.GPT2LMHeadModel(config)


def _gpt_neox(settings: SourceSettings, tokenizer: Any) -> Any:
    config = transformers.GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=4 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=settings.context,
        **_ends(tokenizer),
    )
    return transformers.GPTNeoXForCausalLM(config)


def _llama(settings: SourceSettings, tokenizer: Any) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=3 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        **_ends(tokenizer),
    )
    return transformers.LlamaForCausalLM(config)


def _t5(settings: SourceSettings, tokenizer: Any) -> Any:
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=settings.width,
        d_kv=settings.width // settings.heads,
        d_ff=4 * settings.width,
        num_layers=settings.layers,
        num_heads=settings.heads,
        dropout_rate=0.0,
        decoder_start_token_id=tokenizer.pad_token_id,
        **_ends(tokenizer),
    )
    return transformers.T5ForConditionalGeneration(config)


def _mamba(settings: SourceSettings, tokenizer: Any) -> Any:
    config = transformers.MambaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        state_size=16,
        **_ends(tokenizer),
    )
    return transformers.MambaForCausalLM(config)


def _ends(tokenizer: Any) -> dict[str, int]:
    end = tokenizer.eos_token_id
    return {"eos_token_id": end, "bos_token_id": end, "pad_token_id": end}


BUILDERS: dict[str, Callable[[SourceSettings, Any], Any]] = {
    "gpt2": _gpt2,
    "gpt-neox": _gpt_neox,
    "llama": _llama,
    "t5": _t5,
    "mamba": _mamba,
}
"""The architectures of sources."""
