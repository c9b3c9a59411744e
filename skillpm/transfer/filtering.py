"""Judges the answers of all sources. Answers that were cut off are dropped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skillpm.checks.judge import Judge
from skillpm.parallel import Advance, no_advance
from skillpm.spec import json
from skillpm.transfer.answers import CUT_OFF, RecordedAnswer
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.selection import Judged

EXAMPLES = 3
_SHOWN = 160


@dataclass(frozen=True)
class Verdicts:
    """The judged answers of all sources, and the number of dropped answers of each source."""

    judged: tuple[Judged, ...]
    dropped: Mapping[str, int]
    sources: tuple[str, ...]

    def right(self, source: str) -> int:
        """The number of right answers of a source."""
        number = self.sources.index(source)
        return sum(answer.passed for answer in self.judged if answer.source == number)

    def counts(self) -> str:
        """The counts of each source, as one line of text."""
        total = Counter(answer.source for answer in self.judged)
        parts = (
            f"`{name}`: {self.right(name)} right, {total[number] - self.right(name)} wrong, "
            f"{self.dropped[name]} cut off"
            for number, name in enumerate(self.sources)
        )
        return "; ".join(parts)

    def examples(self) -> str:
        """The first wrong answers, each with the reason."""
        wrong = [answer for answer in self.judged if not answer.passed][:EXAMPLES]
        lines = (f"  {each.id!r}: {_shown(each.text)} ({each.reason})" for each in wrong)
        return "\n".join(lines)

    def to_lines(self) -> bytes:
        """The verdicts as JSON lines."""
        return b"".join(
            json.canonical(
                {
                    "source": self.sources[answer.source],
                    "id": answer.id,
                    "draw": answer.draw,
                    "passed": answer.passed,
                    "reason": answer.reason,
                }
            )
            + b"\n"
            for answer in self.judged
        )


def judge_answers(
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[RecordedAnswer]],
    judge: Judge,
    advance: Advance = no_advance,
) -> Verdicts:
    """Judge the answers of each source by the checks of their prompts.

    Raises the errors of `Judge.verdicts`.
    """
    checks = {prompt.id: prompt.check for prompt in prompts}
    judged: list[Judged] = []
    dropped: dict[str, int] = {}
    for number, (name, recorded) in enumerate(answers.items()):
        whole = [answer for answer in recorded if answer.finish != CUT_OFF and answer.id in checks]
        dropped[name] = len(recorded) - len(whole)
        pairs = [
            (check, answer.text) for answer in whole if (check := checks[answer.id]) is not None
        ]
        found = judge.verdicts(pairs, advance=advance)
        judged.extend(
            Judged(
                number, each.id, each.draw, each.text, each.tokens, verdict.passed, verdict.reason
            )
            for each, verdict in zip(whole, found, strict=True)
        )
    return Verdicts(tuple(judged), dropped, tuple(answers))


def share_right(
    prompts: Sequence[Prompt], answers: Sequence[RecordedAnswer], judge: Judge
) -> float:
    """The share of prompts whose answer passes; one without an answer counts as wrong.

    An answer that was cut off is judged like the others. Raises the errors of `Judge.verdicts`.
    """
    texts = {answer.id: answer.text for answer in answers}
    pairs = [
        (prompt.check, texts[prompt.id])
        for prompt in prompts
        if prompt.check is not None and prompt.id in texts
    ]
    right = sum(verdict.passed for verdict in judge.verdicts(pairs))
    return right / len(prompts) if prompts else 0.0


def _shown(text: str) -> str:
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")
