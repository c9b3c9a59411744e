"""Keep rows: the base's own answers to general prompts, as many as training needs."""

import math
from collections.abc import Callable, Sequence

from skillpm.transfer.answers import RecordedAnswer
from skillpm.transfer.filtering import CUT_OFF
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.selection import SPARE

Ask = Callable[[Sequence[Prompt]], Sequence[RecordedAnswer]]
"""Asks the base for one answer to each prompt."""


def keep_answers(prompts: Sequence[Prompt], count: int, ask: Ask) -> list[tuple[Prompt, str]]:
    """The first prompts whose answers the base ended, with these answers; `count` if there are.

    Asks for `SPARE` answers for each that is needed, and for more if too many were cut off.
    """
    found: list[tuple[Prompt, str]] = []
    spare, asked = SPARE, 0
    while asked < len(prompts) and len(found) < count:
        part = prompts[asked : asked + math.ceil(spare * (count - len(found)))]
        answers = {each.id: each for each in ask(part)}
        found += [
            (prompt, answers[prompt.id].text)
            for prompt in part
            if answers[prompt.id].finish != CUT_OFF and answers[prompt.id].text.strip()
        ]
        asked += len(part)
        spare = SPARE * asked / max(1, len(found))
    return found
