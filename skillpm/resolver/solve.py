"""Solves a question: one release for each skill, or an error that explains the failure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from skillpm.errors import ResolutionError
from skillpm.resolver.closure import Reader
from skillpm.resolver.deadline import NO_DEADLINE, Deadline
from skillpm.resolver.errors import GaveUpError, WrongBaseError
from skillpm.resolver.explain import Explanation
from skillpm.resolver.improve import improve
from skillpm.resolver.question import Catalogue, Question
from skillpm.resolver.rules import Rules
from skillpm.resolver.search import Answer, Proof, search
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release


@dataclass(frozen=True)
class Resolution:
    """One release of each required skill and of each of its dependencies, by name."""

    releases: Mapping[SkillName, Release]


def solve(question: Question, catalogue: Catalogue, deadline: Deadline = NO_DEADLINE) -> Resolution:
    """Choose one release of each required skill and of each of its dependencies.

    1. Read the closure: the required skills and all their dependencies, one query per depth.
    2. Decide skill by skill in the order of `Rules.rank`: the locked release, else the best with
       which a solution still exists. With `no_downgrades`, first try without downgrading locked
       skills.
    3. `improve`: choose an older release of an indirect dependency if others gain more by it.
    4. If there is no solution, turn PubGrub's proof into an error message.

    The answer depends only on the question and the releases, not on their order or on the clock.
    Raises `UnknownWantedError`, `WrongBaseError` (there is a solution with releases built for other
    bases), another `ResolutionError`, or `GaveUpError` after the deadline.
    """
    if question.no_downgrades:
        rules = Rules(question, Reader(question, catalogue, deadline).read())
        result = search(rules, deadline)
        if not isinstance(result, Proof):
            return _resolution(rules, result, deadline)
        question = replace(question, no_downgrades=False)
    reader = Reader(question, catalogue, deadline)
    rules = Rules(question, reader.read())
    result = search(rules, deadline)
    if isinstance(result, Proof):
        explanation = Explanation.of(result, rules, deadline)
        if explanation.wrong_base and _solvable_on_any_base(reader):
            raise WrongBaseError(explanation.message, explanation.wrong_base, hint=explanation.hint)
        raise ResolutionError(explanation.message, hint=explanation.hint)
    return _resolution(rules, result, deadline)


def _resolution(rules: Rules, answer: Answer, deadline: Deadline) -> Resolution:
    return Resolution(answer if rules.question.lowest else improve(rules, answer, deadline))


def _solvable_on_any_base(reader: Reader) -> bool:
    """Whether there is a solution if no release is excluded because of its base."""
    try:
        rules = Rules(reader.question, reader.read(any_base=True))
        result = search(rules, reader.deadline)
    except GaveUpError:
        return False
    return not isinstance(result, Proof)
