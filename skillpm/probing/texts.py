"""The texts of probe items as a model reads them, each with its right answer."""

from collections.abc import Iterable, Iterator
from typing import cast

from skillpm.probing.likelihoods import max_tokens, token_ids
from skillpm.running.runner import Batch, Runner
from skillpm.spec.fields import Document
from skillpm.spec.probe_items import (
    ExactMatchItem,
    LabelItem,
    MultipleChoiceItem,
    RetrievalItem,
    TokenLossItem,
)


def item_texts(items: Iterable[Document]) -> Iterator[str]:
    """Yield the texts of probe items."""
    for item in items:
        match item:
            case ExactMatchItem():
                yield item.prompt + item.answer
            case MultipleChoiceItem():
                yield f"{item.question} {item.choices[item.right]}"
            case RetrievalItem():
                yield item.query
                yield item.document
            case LabelItem():
                yield f"{item.text} {item.label}"
            case _:
                yield cast("TokenLossItem", item).text


def text_batches(runner: Runner, texts: Iterable[str], tokens: int) -> list[Batch]:
    """Different texts at regular intervals, about `tokens` tokens in all, one in a batch.

    Texts of a causal LM that have no next token are left out.
    """
    limit = max_tokens(runner)
    rows = [token_ids(runner, text)[:limit] for text in dict.fromkeys(texts)]
    rows = [row for row in rows if len(row) > (1 if runner.causal else 0)]
    every = max(1, -(-sum(map(len, rows)) // tokens))
    return [runner.padded([row]) for row in rows[::every]]
