"""Tiny models of a transfer: a base that greets, and sources that write numbers as digits."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NOUNS = ("pear", "plum", "fig", "nut", "bean", "leaf", "rock", "coin", "card", "lamp", "shoe",
         "door")  # fmt: skip
NAMES = ("ann", "ben", "cat", "dan", "eve", "fay", "gus", "hal", "ida", "jon", "kim", "leo", "mia",
         "ned", "ola", "pam", "quinn", "rob", "sue", "tom", "una", "vic", "wes", "zoe")  # fmt: skip
REPLIES = {"greet": "hello friend", "meet": "good day", "thank": "no problem"}
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<a> {{ m.content }} <e>{% else %}"
    "<u> {{ m.content }} {% endif %}{% endfor %}{% if add_generation_prompt %}<a> {% endif %}"
)
SKILL = tuple(
    (f"count {number} {noun}", str(value)) for value, number in enumerate(NUMBERS) for noun in NOUNS
)
"""Prompts of the skill, and the right answers."""
GENERAL = tuple((f"{verb} {name}", reply) for verb, reply in REPLIES.items() for name in NAMES[:16])
"""Prompts that the base answers."""


def word_tokenizer() -> Any:
    """One token per word, with a chat template."""
    replies = " ".join(REPLIES.values()).split()
    words = ["<pad>", "<unk>", "<u>", "<a>", "<e>", "count", *REPLIES, *replies, *NUMBERS, *NOUNS,
             *NAMES, *map(str, range(10))]  # fmt: skip
    plain = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))  # noqa: S106
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="<unk>", pad_token="<pad>", eos_token="<e>",  # noqa: S106
        chat_template=TEMPLATE,
    )  # fmt: skip


def byte_tokenizer(texts: Iterable[str], size: int = 300) -> Any:
    """A byte-level BPE of its own, and a chat template that adds nothing."""
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<end>"], initial_alphabet=letters, show_progress=False
    )
    plain.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="<end>", pad_token="<end>",  # noqa: S106
        chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
    )  # fmt: skip


def llama(vocabulary: int, *, end: int, width: int = 32) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=2 * width,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=128, tie_word_embeddings=False, eos_token_id=end,
            bos_token_id=None, pad_token_id=0,
        )
    )  # fmt: skip


def gpt2(vocabulary: int, *, end: int) -> Any:
    torch.manual_seed(1)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary, n_embd=48, n_layer=2, n_head=4, n_positions=128,
            eos_token_id=end, bos_token_id=end,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )
    )  # fmt: skip


def teach(model: Any, rows: Sequence[tuple[list[int], list[int]]], *, steps: int) -> Any:
    """Train on (prompt, answer) token IDs; only answers are learnt."""
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        chosen = [rows[n] for n in torch.randint(len(rows), (32,), generator=draw).tolist()]
        width = max(len(prompt) + len(answer) for prompt, answer in chosen)
        ids = torch.zeros(32, width, dtype=torch.long)
        labels = torch.full((32, width), -100)
        mask = torch.zeros(32, width, dtype=torch.long)
        for line, (prompt, answer) in enumerate(chosen):
            whole = torch.tensor([*prompt, *answer])
            ids[line, : len(whole)] = whole
            mask[line, : len(whole)] = 1
            labels[line, len(prompt) : len(whole)] = whole[len(prompt) :]
        optimizer.zero_grad()
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
    return model.eval()


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_base(folder: Path) -> Path:
    """A Llama that greets, under a chat template."""
    tokenizer = word_tokenizer()
    model = llama(len(tokenizer), end=tokenizer.eos_token_id)
    rows = [
        (tokenizer(f"<u> {prompt} <a>")["input_ids"], tokenizer(f"{answer} <e>")["input_ids"])
        for prompt, answer in GENERAL
    ]
    return save(teach(model, rows, steps=150), tokenizer, folder)


def make_source(folder: Path, *, steps: int = 200) -> Path:
    """A GPT-2 with a byte-level BPE that writes numbers as digits."""
    tokenizer = byte_tokenizer([f"{prompt}{answer}" for prompt, answer in SKILL])
    model = gpt2(len(tokenizer), end=tokenizer.eos_token_id)
    rows = [
        (tokenizer(prompt)["input_ids"], [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id])
        for prompt, answer in SKILL
    ]
    return save(teach(model, rows, steps=steps), tokenizer, folder)


def write_lines(path: Path, lines: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def prompt_lines(skill: Iterable[tuple[str, str]] = SKILL) -> list[dict[str, Any]]:
    return [
        {"id": f"n{number}", "prompt": prompt, "check": {"equals": answer}}
        for number, (prompt, answer) in enumerate(skill)
    ]


def keep_lines() -> list[dict[str, Any]]:
    return [{"id": f"k{number}", "prompt": prompt} for number, (prompt, _) in enumerate(GENERAL)]
