"""Splits prompts into those that are learnt and those that only measure.

A prompt's place is decided by a hash of its text, so that adding prompts moves few others. Prompts
whose texts differ only in case, white space or closing punctuation are duplicates: the first is
kept. A finer measure would merge "12 × 12" and "12 × 13".
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from skillpm.checks.kinds import parse_check
from skillpm.errors import SpecError
from skillpm.spec.chat import ChatMessage
from skillpm.spec.probe_items import JudgedItem
from skillpm.spec.probes import Probes
from skillpm.transfer.general import general_questions
from skillpm.transfer.inputs import TransferInputs
from skillpm.transfer.prompts import Prompt

HELD_OUT = 0.1
"""The share of the prompts that is never trained on, without a file that measures the skill."""
GENERAL = 0.25
"""The share of the keep prompts that is never trained on."""
LEAST_KEEP = 16
"""With fewer keep prompts, skillpm's own general questions measure general ability."""
_LISTED = 20
_CLOSING = ".?! "


@dataclass(frozen=True)
class Split:
    """The prompts of a transfer by their use.

    `held_out` measures the skill and `general` measures general ability; `learnt` and `keep` are
    for training. `duplicates` are the ids of prompts that were left out.
    """

    learnt: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...]
    keep: tuple[Prompt, ...]
    general: tuple[Prompt, ...]
    duplicates: tuple[str, ...] = ()


def split_prompts(inputs: TransferInputs, *, skill: int, general: int) -> Split:
    """Split the prompts. `skill` and `general` are the most items that measure.

    Raises `SpecError` if a prompt is among the probes or the held-out prompts, and if no prompt is
    left to learn.
    """
    prompts, duplicates = _distinct(inputs.prompts)
    if inputs.probes is not None:
        _refuse_shared(inputs.prompts, _items(inputs.probes), "the probes")
    if inputs.held_out:
        _refuse_shared(inputs.prompts, inputs.held_out, "the held-out prompts")
        distinct, repeated = _distinct(inputs.held_out)
        held_out, learnt, duplicates = distinct[:skill], prompts, (*duplicates, *repeated)
    elif inputs.probes is None:
        count = min(skill, max(1, round(HELD_OUT * len(prompts))))
        held_out, learnt = _divided(prompts, count)
    else:
        held_out, learnt = _measuring(_items(inputs.probes))[:skill], prompts
    if not learnt:
        raise SpecError(
            "no prompt is left to learn: a share of the prompts is held out",
            hint="name at least two prompts with different texts",
        )
    keep, more = _distinct(inputs.keep)
    measured: tuple[Prompt, ...] = general_questions(general)
    if len(keep) >= LEAST_KEEP:
        measured, keep = _divided(keep, min(general, round(GENERAL * len(keep))))
    return Split(learnt, held_out, keep, measured, (*duplicates, *more))


def text_key(messages: Sequence[ChatMessage]) -> str:
    """The text of a chat without what makes near-duplicates differ."""
    text = "\n".join(f"{message.role}: {message.content}" for message in messages)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(_CLOSING)


def place_of(prompt: Prompt) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return _place(text_key(prompt.messages))


def _place(text: str) -> float:
    data = sha256(text.encode(errors="replace")).digest()
    return int.from_bytes(data[:7], "big") / (1 << 56)


def _distinct(prompts: Iterable[Prompt]) -> tuple[tuple[Prompt, ...], tuple[str, ...]]:
    """The prompts without near-duplicates, and the ids of these."""
    first: dict[str, Prompt] = {}
    duplicates = tuple(
        prompt.id
        for prompt in prompts
        if first.setdefault(text_key(prompt.messages), prompt) is not prompt
    )
    return tuple(first.values()), duplicates


def _divided(
    prompts: Sequence[Prompt], count: int
) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    """The `count` prompts with the lowest places, and the others; both in their order."""
    key: Callable[[Prompt], float] = place_of
    chosen = {prompt.id for prompt in sorted(prompts, key=key)[:count]}
    return (
        tuple(prompt for prompt in prompts if prompt.id in chosen),
        tuple(prompt for prompt in prompts if prompt.id not in chosen),
    )


def _measuring(items: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    """The items. Raises `SpecError` if there are none."""
    if not items:
        raise SpecError(
            "the probe file has no judged item, so the skill cannot be measured",
            hint='add lines like {"prompt": "What is 12 × 12?", "check": {"number": 144}}',
        )
    return items


def _items(probes: Probes) -> tuple[Prompt, ...]:
    """The judged items of a probe file, as prompts."""
    items = [item for item in probes.items.get("judged", ()) if isinstance(item, JudgedItem)]
    return tuple(
        Prompt(f"probe-{number}", tuple(item.chat), parse_check(item.check))
        for number, item in enumerate(items, start=1)
    )


def _refuse_shared(prompts: Sequence[Prompt], items: Sequence[Prompt], what: str) -> None:
    asked = {text_key(item.messages) for item in items}
    ids = [prompt.id for prompt in prompts if text_key(prompt.messages) in asked]
    if ids:
        listed = ", ".join(repr(name) for name in ids[:_LISTED])
        more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
        raise SpecError(
            f"{len(ids)} of the prompts are among {what}: {listed}{more}",
            hint="remove them from the prompts; what was trained on cannot measure the skill",
        )
