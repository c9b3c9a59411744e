"""Stage 1: a few answers of each model and a few training steps, and what all of it will take."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from skillpm.checks.judge import Judge
from skillpm.errors import StateError
from skillpm.flows.transfer.limits import check_hours, check_spent
from skillpm.flows.transfer.run import BASE, GENERAL, ITEMS, Answers, TransferRun
from skillpm.parallel import no_advance
from skillpm.transfer.estimates import Rehearsal, SourceRate, TransferEstimate, estimate
from skillpm.transfer.filtering import Verdicts, judge_answers, share_right
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.sampling import AnswerSource, SamplingTask
from skillpm.transfer.selection import answer_row
from skillpm.transfer.training import Training, train_on_answers

FILE, RATES = "rehearsal.json", "rates.json"
ANSWERS = 8
STEPS = 3
PASSES = 0.95
"""The share of held-out items from which on the base needs no transfer."""
_MAY_PASS = 0.5
"""The share of the first items from which on the base answers all of them before a source is asked.
Its answers are needed later, too."""
_NONE_OF = 3.0
"""With no right answer of `n`, the share is below 3 / `n` with 95 % confidence (rule of three)."""


def rehearse(run: TransferRun) -> TransferEstimate:
    """Measure what each part costs, and refuse what exceeds `[budget]`.

    The answers are recorded, so that none is asked for again. Raises `StateError` if the base
    already passes, and `UsageError` if the budget is too small.
    """
    recorded = run.workspace.read_object(FILE)
    rehearsal = Rehearsal.from_dict(recorded) if recorded else _measure(run)
    if not recorded:
        run.workspace.write_object(FILE, rehearsal.to_dict())
    found = estimate(run.plan.document, rehearsal)
    check_hours(run.plan, found)
    return found


def check_recorded(run: TransferRun) -> None:
    """Raise `UsageError` if an earlier rehearsal shows that the transfer exceeds `[budget]`."""
    recorded = run.workspace.read_object(FILE)
    if recorded:
        found = estimate(run.plan.document, Rehearsal.from_dict(recorded))
        check_hours(run.plan, found)


def _measure(run: TransferRun) -> Rehearsal:
    """Base first: if it already passes, nothing is spent on sources."""
    plan, started = run.plan, time.monotonic()
    items = run.model_task(BASE, ITEMS, plan.split.held_out, plan.of_items)
    general = run.model_task(BASE, GENERAL, plan.split.general, plan.of_general)
    base, _ = _rate(run, BASE, run.opener(plan.base_folder), (items, general))
    check_spent(plan, time.monotonic() - started)
    _check_base(run, items)
    rates, judged = {}, dict[str, _FirstAnswers]()
    with run.judge as judge:
        for source in plan.sources:
            tasks = run.source_task(source), run.item_task(source)
            rates[source.name], answers = _rate(run, source.name, source.open, tasks)
            judged[source.name] = _judge(run, judge, source.name, answers)
            check_spent(plan, time.monotonic() - started)
    load, row = _training_costs(run, [pair for each in judged.values() for pair in each.examples])
    check_spent(plan, time.monotonic() - started)
    return Rehearsal(
        sources=rates,
        base=base,
        right=_right(list(judged.values())),
        load_seconds=load,
        row_seconds=row,
        base_bytes=sum(spec.nbytes for spec in plan.base.specs.values()),
        prompts=len(plan.split.learnt),
        keep=len(plan.split.keep),
        items=len(plan.split.held_out),
        general=len(plan.split.general),
        requests=plan.endpoint_requests,
        paired=max(each.paired for each in judged.values()),
        judge_seconds=max(each.seconds for each in judged.values()),
    )


def _rate(
    run: TransferRun,
    name: str,
    make: Callable[[], AnswerSource],
    tasks: tuple[SamplingTask, SamplingTask],
) -> tuple[SourceRate, Answers]:
    """Measure loading and answering apart, and return the first answers of the first task."""
    label = f"rehearsing {name.removeprefix('_')}"
    rates = run.workspace.read_object(RATES)
    if name not in rates:
        rates[name] = asdict(_measured_rate(run, label, make, tasks))
        run.workspace.write_object(RATES, rates)
    return SourceRate(**rates[name]), run.ask(make, tasks[0].first(ANSWERS), label)


def _measured_rate(
    run: TransferRun,
    label: str,
    make: Callable[[], AnswerSource],
    tasks: tuple[SamplingTask, SamplingTask],
) -> SourceRate:
    """The rate of answers that are not recorded yet: a killed rehearsal may have recorded some."""
    loading = 0.0

    def load() -> AnswerSource:
        nonlocal loading
        started = time.monotonic()
        source = make()
        loading = time.monotonic() - started
        return source

    first, second = (task.first(ANSWERS, task.recorded()) for task in tasks)
    asked = first if first.requests else second
    started = time.monotonic()
    run.ask(load, asked, label)
    answering = time.monotonic() - started - loading
    return SourceRate(loading, answering / max(1, len(asked.requests)), len(tasks[0].requests))


def _check_base(run: TransferRun, items: SamplingTask) -> None:
    """Raise `StateError` if the base passes the held-out items already."""
    held_out, opened = run.plan.split.held_out, run.opener(run.plan.base_folder)
    with run.judge as judge:
        first = items.first(ANSWERS)
        answers = run.ask(opened, first, "rehearsing base")
        if share_right([each.prompt for each in first.requests], answers, judge) < _MAY_PASS:
            return
        answers = run.ask(opened, items, "held-out items")
        share = share_right(held_out, answers, judge)
    if share >= PASSES:
        raise StateError(
            f"the base already passes {share:.0%} of the {len(held_out)} held-out items, so there "
            "is nothing to transfer",
            hint="use harder prompts, or stricter checks",
        )


@dataclass(frozen=True)
class _FirstAnswers:
    """The first answers of a source, to `asked` prompts.

    `right` is the share of prompts with a right answer, `paired` that of prompts with a wrong one
    too, and `seconds` the time of a check.
    """

    examples: Sequence[tuple[Prompt, str]]
    asked: int
    right: float
    paired: float
    seconds: float


def _judge(run: TransferRun, judge: Judge, name: str, answers: Answers) -> _FirstAnswers:
    """Judge the first answers. The first one also starts the sandbox, so it is not measured."""
    learnt = run.plan.split.learnt
    judge_answers(learnt, {name: answers[:1]}, judge)
    started = time.monotonic()
    verdicts = judge_answers(learnt, {name: answers}, judge)
    seconds = (time.monotonic() - started) / max(1, len(verdicts.judged) - 1)
    prompts = {prompt.id: prompt for prompt in learnt}
    asked = max(1, len({answer.id for answer in answers}))
    right, wrong = (_ids(verdicts, passed=passed) for passed in (True, False))
    return _FirstAnswers(
        [(prompts[each.id], each.text) for each in answers if each.text.strip()],
        asked,
        len(right) / asked,
        len(right & wrong) / asked,
        seconds,
    )


def _right(sources: Sequence[_FirstAnswers]) -> float:
    """The share of prompts with a right answer, of the best source."""
    best = max(each.right for each in sources)
    return best or min(1.0, _NONE_OF / max(each.asked for each in sources))


def _ids(verdicts: Verdicts, *, passed: bool) -> set[str]:
    return {answer.id for answer in verdicts.judged if answer.passed is passed}


def _training_costs(
    run: TransferRun, examples: Sequence[tuple[Prompt, str]]
) -> tuple[float, float]:
    """The seconds to load a training, and those of one row of SFT."""
    plan, train = run.plan, run.plan.document.train
    if not examples:  # Prompts stand for answers of the same length.
        examples = [(each, each.messages[-1].content) for each in plan.split.learnt[:ANSWERS]]
    micro = min(train.micro, train.batch, len(plan.split.learnt))
    rows = [answer_row(*examples[number % len(examples)]) for number in range(STEPS * micro)]
    folder = run.workspace.path / "rehearsal"
    training = Training(
        epochs=1,
        learning_rate=train.sft.lr,
        batch=micro,
        micro=micro,
        max_length=train.max_tokens,
        device=plan.request.device,
        most_steps=STEPS,
    )
    started = time.monotonic()
    try:
        shutil.rmtree(folder, ignore_errors=True)
        trained = train_on_answers(plan.base_folder, rows, training, folder, no_advance)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole = time.monotonic() - started
    row = trained.step_seconds / micro
    return max(0.0, whole - len(rows) * row), row
