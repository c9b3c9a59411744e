"""Stages 2 and 3: record the answers of all sources, judge them, and choose the rows to learn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skillpm.checks.judge import Judge
from skillpm.errors import GraftError
from skillpm.flows.transfer.run import BASE, KEEP, Answers, TransferRun, once
from skillpm.flows.transfer.sources import SourceFacts
from skillpm.transfer.filtering import Verdicts, judge_answers, share_right
from skillpm.transfer.keeping import keep_answers
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.selection import (
    KeptAnswer,
    Rows,
    choose_rows,
    keep_count,
    order_of_keep,
    to_lines,
)

VERDICTS, SFT, PAIRS = "verdicts.jsonl", "sft.jsonl", "pairs.jsonl"


@dataclass(frozen=True)
class Sampled:
    """The answers of each source: to the prompts that are learnt, and to the held-out items."""

    learnt: Mapping[str, Answers]
    items: Mapping[str, Answers]


def sample_sources(run: TransferRun) -> Sampled:
    """Ask one source after another; each is loaded only if an answer is missing.

    Raises the errors of the sources, such as `EndpointError`; recorded answers are kept.
    """
    learnt, items = {}, {}
    for source in run.plan.sources:
        opened = once(source.open)
        name = source.name
        learnt[name] = run.ask(opened, run.source_task(source), f"answers of {name}")
        items[name] = run.ask(opened, run.item_task(source), f"answers of {name}")
    return Sampled(learnt, items)


@dataclass(frozen=True)
class Filtered:
    """The judged answers, the rows of both trainings, and each source's share of right items.

    The share is of the items that the source answers; None if a file answers none.
    """

    verdicts: Verdicts
    rows: Rows
    scores: Mapping[str, float | None]


def filter_answers(run: TransferRun, sampled: Sampled) -> Filtered:
    """Judge all answers, have the base answer keep prompts, and write the rows.

    Raises `GraftError` if no answer is right.
    """
    plan = run.plan
    total = sum(map(len, sampled.learnt.values()))
    with run.judge as judge:
        advance = run.session.progress("judged answers", total)
        verdicts = judge_answers(plan.split.learnt, sampled.learnt, judge, advance)
        scores = {
            source.name: _score(run, source, sampled.items[source.name], judge)
            for source in plan.sources
        }
    run.workspace.write(VERDICTS, verdicts.to_lines())
    if not any(answer.passed for answer in verdicts.judged):
        examples = verdicts.examples()
        raise GraftError(
            f"no source gave a right answer: {verdicts.counts()}"
            + (f"\nwrong answers, for example:\n{examples}" if examples else ""),
            hint="do the checks accept the form of the sources' answers? "
            "Say in the prompts which form is right, or raise `max_tokens` under [sample]",
        )
    rows = _rows(run, verdicts)
    run.workspace.write(SFT, to_lines(rows.sft))
    run.workspace.write(PAIRS, to_lines(rows.pairs))
    return Filtered(verdicts, rows, scores)


def _score(run: TransferRun, source: SourceFacts, answers: Answers, judge: Judge) -> float | None:
    """The share of right answers among the held-out items that a source answers.

    Files need not answer all of them: a note says how many items measure such a source.
    """
    held_out = run.plan.split.held_out
    items = [item for item in held_out if source.can_answer(item.id)]
    if len(items) < len(held_out):
        run.say(f"`{source.name}` has answers to {len(items)} of {len(held_out)} held-out items")
    return share_right(items, answers, judge) if items else None


def _rows(run: TransferRun, verdicts: Verdicts) -> Rows:
    plan, train = run.plan, run.plan.document.train
    share = plan.document.select.sft_share
    rows = choose_rows(plan.split.learnt, verdicts.judged, [], sft_share=share, keep_share=0)
    if not rows.sft:
        raise GraftError(
            f"SFT has no row: {len(rows.pairs)} right answers are to prompts for DPO",
            hint="use more prompts, or a larger `sft_share` under [select]",
        )
    kept = _keep_answers(run, keep_count(rows.learnt, train.keep_share))
    return choose_rows(
        plan.split.learnt,
        verdicts.judged,
        kept,
        sft_share=share,
        keep_share=train.keep_share,
    )


def _keep_answers(run: TransferRun, count: int) -> list[KeptAnswer]:
    """Ask the base for its own answers to keep prompts."""
    plan = run.plan
    opened = run.opener(plan.base_folder)

    def ask(prompts: Sequence[Prompt]) -> Answers:
        task = run.model_task(BASE, KEEP, prompts, plan.greedy)
        return run.ask(opened, task, "answers of the base")

    found = keep_answers(order_of_keep(plan.split.keep), count, ask)
    if count and not plan.split.keep:
        run.say("no keep prompts: general ability may suffer; name a file by `--keep`")
    elif len(found) < count:
        run.say(f"{len(found)} keep rows instead of {count}: there are no more keep prompts")
    return found
