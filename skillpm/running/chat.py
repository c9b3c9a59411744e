"""Tokens of a chat, and text of tokens, by a tokenizer of transformers. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any, cast


def chat_ids(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], *, complete: bool = False
) -> list[int]:
    """The token IDs of a chat, up to where the answer begins.

    Without a chat template, the texts of the messages are joined by blank lines. End tokens that
    the tokenizer adds are left out, because an answer follows; `complete` keeps them, for encoders,
    whose inputs end with them in training (T5). Raises the errors of the template.
    """
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
        )
        return cast("list[int]", tokenizer(text, add_special_tokens=False)["input_ids"])
    text = "\n\n".join(message["content"] for message in messages)
    ids = cast("list[int]", tokenizer(text)["input_ids"])
    if complete:
        return ids
    ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
    while len(ids) > 1 and ids[-1] in ends:
        ids = ids[:-1]
    return ids


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of tokens, without special tokens."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))
