"""Answers a question: one release for each skill, or an error that says why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from skillpm.errors import ResolutionError
from skillpm.resolver.closure import Reader
from skillpm.resolver.errors import GaveUpError, WrongBaseError
from skillpm.resolver.explain import Explanation
from skillpm.resolver.improve import improve
from skillpm.resolver.patience import NO_DEADLINE, Deadline
from skillpm.resolver.question import Catalogue, Question
from skillpm.resolver.rules import Rules
from skillpm.resolver.search import Answer, Proof, search
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release


@dataclass(frozen=True)
class Resolution:
    """One release for each skill that is wanted or needed, by name; and no others."""

    releases: Mapping[SkillName, Release]


def solve(question: Question, catalogue: Catalogue, deadline: Deadline = NO_DEADLINE) -> Resolution:
    """Choose one release for each skill that is wanted or needed.

    1. Read the closure: all that the wanted skills lead to, in one query for each depth.
    2. Settle skill by skill in the order of `Rules.rank`, each at its locked release or else at
       the best with which an answer still exists. Where something is to move, nothing else goes
       back for it, unless there is no answer otherwise.
    3. Trade: let a skill that was not asked for by name step back where others gain more by it.
    4. Where there is no answer, turn PubGrub's proof into sentences.

    The answer depends on the question and the releases alone, not on their order or the clock.
    Raises `UnknownWantedError`, `WrongBaseError` (accepting
    bases would help), another `ResolutionError`, or `GaveUpError` when patience is at its end.
    """
    if question.floors:
        rules = Rules(question, Reader(question, catalogue, deadline).read())
        found = search(rules, deadline)
        if not isinstance(found, Proof):
            return _resolution(rules, found, deadline)
        question = replace(question, floors=False)
    reader = Reader(question, catalogue, deadline)
    rules = Rules(question, reader.read())
    found = search(rules, deadline)
    if isinstance(found, Proof):
        why = Explanation.of(found, rules, deadline)
        if why.wrong_base and _solvable_on_any_base(reader):
            raise WrongBaseError(why.message, why.wrong_base, hint=why.hint)
        raise ResolutionError(why.message, hint=why.hint)
    return _resolution(rules, found, deadline)


def _resolution(rules: Rules, found: Answer, deadline: Deadline) -> Resolution:
    return Resolution(found if rules.question.lowest else improve(rules, found, deadline))


def _solvable_on_any_base(reader: Reader) -> bool:
    """Whether there would be an answer if no release were left out for its base."""
    try:
        rules = Rules(reader.question, reader.read(any_base=True))
        found = search(rules, reader.deadline)
    except GaveUpError:
        return False
    return not isinstance(found, Proof)
