"""General questions: keep prompts of the trainings, and the questions that measure.

Half of the questions that measure are skillpm's own, whose wordings no keep prompt has. The others
have the wordings of keep prompts with other words.
"""

from __future__ import annotations

import random

from skillpm.transfer.general import QUESTIONS

_WORDINGS = {
    "What is the capital of {}?": (
        "Peru Norway Kenya Canada Egypt Greece Austria Chile Cuba Poland India Ireland Portugal "
        "Turkey Vietnam Finland Hungary Nepal Morocco Iceland"
    ),
    "What is the opposite of {}?": (
        "old dark heavy fast loud early empty rich soft tall wet narrow brave cheap deep"
    ),
    "What is a {}? Answer in one sentence.": (
        "compass hammer volcano poem castle desert tunnel violin magnet harbour island engine "
        "telescope blanket feather forest lantern mirror museum needle orchard pillow"
    ),
    "What does a {} do? Answer in one sentence.": (
        "baker pilot nurse judge farmer plumber dentist teacher sailor painter tailor gardener "
        "librarian carpenter waiter"
    ),
    "Name a {}.": (
        "fruit flower bird metal planet sport river vegetable fish tool colour drink spice season"
    ),
    "Give one tip for {} in one sentence.": (
        "cooking sleeping reading running saving swimming writing travelling cleaning painting "
        "studying gardening cycling fishing singing"
    ),
    "Is a {} an animal? Answer yes or no.": (
        "horse table spoon tiger stone whale bicycle rabbit cloud eagle shovel snake bottle frog"
    ),
    "Where would you find a {}? Answer in one sentence.": (
        "camel lighthouse stapler penguin chimney menu cactus microscope scarecrow anchor stage "
        "beehive saddle escalator glacier"
    ),
}


def keep_prompts(count: int) -> list[str]:
    """The first keep prompts, in a fixed random order."""
    return _shuffled()[:count]


def measuring_questions(count: int) -> list[str]:
    """Questions that measure: half are skillpm's own, none is a keep prompt of `keep_prompts`.

    Raises `ValueError` if there are too few.
    """
    own = QUESTIONS[: -(-count // 2)]
    others = [text for text in reversed(_shuffled()) if text not in own][: count - len(own)]
    if len(own) + len(others) < count:
        message = f"{len(own) + len(others)} general questions, {count} are asked for"
        raise ValueError(message)
    return [*own, *others]


def _shuffled() -> list[str]:
    texts = [wording.format(word) for wording, words in _WORDINGS.items() for word in words.split()]
    random.Random("general").shuffle(texts)
    return texts
