"""The rows of a training: as trl reads them, and which of them learn to end.

A row has lists of messages by name, and `CUT` if its completion was cut off.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from skillpm.errors import GraftError
from skillpm.transfer.selection import CUT


def private_texts(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The texts of all messages."""
    return (
        each["content"]
        for row in rows
        for name, messages in row.items()
        if name != CUT
        for each in messages
    )


def as_texts(tokenizer: Any, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows as messages; as texts for a tokenizer without a chat template, as `chat_ids` joins.

    Raises `GraftError` if the tokenizer has no end token.
    """
    if tokenizer.eos_token_id is None:
        raise GraftError(
            "the base's tokenizer has no end token, so the model cannot learn to end its answers",
            hint="use a base whose tokenizer has an `eos_token`",
        )
    plain = [{name: value for name, value in row.items() if name != CUT} for row in rows]
    if getattr(tokenizer, "chat_template", None):
        return plain
    return [
        {
            name: "\n\n".join(message["content"] for message in messages)
            for name, messages in row.items()
        }
        for row in plain
    ]


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The end tokens of the model and of the tokenizer."""
    named = model.generation_config.eos_token_id
    return frozenset({*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id}) - {
        None
    }


def without_ends(dataset: Any, cut: AbstractSet[int], ends: AbstractSet[int]) -> Any:
    """The tokenized rows; those at the places `cut` without the end token and what follows it."""

    def shorten(row: dict[str, Any], place: int) -> dict[str, Any]:
        if place not in cut:
            return row
        last = max((at for at, token in enumerate(row["labels"]) if token in ends), default=None)
        return {name: value[:last] for name, value in row.items()}

    return dataset.map(shorten, with_indices=True) if cut else dataset


def check_end_is_learnt(trainer: Any, ends: AbstractSet[int]) -> None:
    """Raise `GraftError` unless the end token is a label of every row of the first batch.

    A model that never learns to end its answers generates until the limit.
    """
    labels = next(iter(trainer.get_train_dataloader()))["labels"]
    without = [row for row in labels.tolist() if not ends & set(row)]
    if without:
        raise GraftError(
            f"{len(without)} of {len(labels)} answers in the first batch have no end token, so the "
            "model would not learn to end its answers",
            hint="use a larger `max_tokens` under [sample], or shorter answers",
        )
