"""Answers a question: one release for each skill, or an error that says why there is none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skillpm.errors import ResolutionError
from skillpm.resolver.closure import Reader
from skillpm.resolver.errors import GaveUpError, WrongBaseError
from skillpm.resolver.explain import Explanation
from skillpm.resolver.question import Catalogue, Question
from skillpm.resolver.rules import Rules
from skillpm.resolver.search import Proof, search
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release

MAX_STEPS = 200_000


@dataclass(frozen=True)
class Resolution:
    """One release for each skill that is wanted or needed, by name; and no others."""

    releases: Mapping[SkillName, Release]


def never() -> bool:
    """Time does not run out."""
    return False


def solve(
    question: Question,
    catalogue: Catalogue,
    *,
    expired: Callable[[], bool] = never,
    max_steps: int = MAX_STEPS,
) -> Resolution:
    """Choose one release for each skill that is wanted or needed.

    1. Read the closure: all that the wanted skills lead to, in one query for each depth.
    2. Settle skill by skill (locked first, then wanted, then by name), each at its locked
       release or else at the newest with which an answer still exists.
    3. Where there is no answer, turn PubGrub's proof into sentences.

    The answer depends on the question and the releases alone: not on their order, nor on
    releases that play no part in it. Raises `UnknownWantedError`, `WrongBaseError` (accepting
    bases would help), another `ResolutionError`, or `GaveUpError` when `expired` says so.
    """
    reader = Reader(question, catalogue, expired)
    rules = Rules(question, reader.read())
    found = search(rules, expired=expired, max_steps=max_steps)
    if isinstance(found, Proof):
        why = Explanation.of(found, rules)
        if why.wrong_base and _solvable_on_any_base(reader, max_steps):
            raise WrongBaseError(why.message, why.wrong_base, hint=why.hint)
        raise ResolutionError(why.message, hint=why.hint)
    return Resolution(found)


def _solvable_on_any_base(reader: Reader, max_steps: int) -> bool:
    """Whether there would be an answer if no release were left out for its base."""
    try:
        rules = Rules(reader.question, reader.read(any_base=True))
        found = search(rules, expired=reader.expired, max_steps=max_steps)
    except GaveUpError:
        return False
    return not isinstance(found, Proof)
