"""Keep rows: the base's own answers to general prompts.

An answer that reached the limit of tokens is learnt without its end. Leaving it out would leave out
every kind of prompt to which the base answers at length, and the trained model would forget them.
"""

from collections.abc import Callable, Sequence

from skillpm.transfer.answers import CUT_OFF, RecordedAnswer
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.selection import KeptAnswer

Ask = Callable[[Sequence[Prompt]], Sequence[RecordedAnswer]]
"""Asks the base for one answer to each prompt."""


def keep_answers(prompts: Sequence[Prompt], count: int, ask: Ask) -> list[KeptAnswer]:
    """The answers to the first `count` prompts, and to further ones in place of empty answers."""
    found: list[KeptAnswer] = []
    asked = 0
    while asked < len(prompts) and len(found) < count:
        part = prompts[asked : asked + count - len(found)]
        answers = {each.id: each for each in ask(part)}
        found += [
            KeptAnswer(prompt, answers[prompt.id].text, answers[prompt.id].finish == CUT_OFF)
            for prompt in part
            if answers[prompt.id].text.strip()
        ]
        asked += len(part)
    return found
