"""Tokens of a chat, and text of tokens, by a tokenizer of transformers. Imports no torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from skillpm.errors import GraftError, capped

_SHOWN = 200
_TEMPLATES = "jinja2"
"""The package whose errors a chat template raises."""


@contextmanager
def template_errors(texts: Iterable[str]) -> Iterator[None]:
    """Translate the error of a chat template to a `GraftError`.

    Its reason is left out if it has one of the texts, which are private.
    """
    try:
        yield
    except Exception as problem:
        if type(problem).__module__.partition(".")[0] != _TEMPLATES:
            raise
        reason = capped(str(problem), _SHOWN)
        shown = "" if any(text in str(problem) for text in texts if text) else f": {reason}"
        raise GraftError(
            f"the model's chat template refuses a prompt{shown}",
            hint="many templates know no system message, and want user and assistant in turn",
        ) from problem


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
