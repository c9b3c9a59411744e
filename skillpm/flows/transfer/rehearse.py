"""Stage 1: a few answers of each model and a few training steps, and what all of it will take."""

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

from skillpm.checks.judge import Judge
from skillpm.errors import StateError, UsageError
from skillpm.flows.transfer.run import BASE, ITEMS, TransferRun
from skillpm.parallel import no_advance
from skillpm.running.folder import memory
from skillpm.transfer.estimates import Rehearsal, SourceRate, TransferEstimate, estimate
from skillpm.transfer.filtering import judge_answers, share_right
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.sampling import AnswerSource, SamplingTask
from skillpm.transfer.selection import answer_row
from skillpm.transfer.training import Training, train_on_answers

FILE = "rehearsal.json"
ANSWERS = 8
STEPS = 3
PASSES = 0.95
"""The share of held-out items from which on the base needs no transfer."""
BYTES_PER_PARAMETER = 16
"""Of training in float32: weights, gradients, and two moments of Adam."""


def rehearse(run: TransferRun) -> TransferEstimate:
    """Measure what each part costs, and refuse what exceeds memory or `[budget]`.

    The answers are recorded, so that none is asked for again. Raises `StateError` if the base
    already passes or memory is too small, and `UsageError` if the budget is.
    """
    _check_memory(run)
    _check_requests(run)
    recorded = run.workspace.read_object(FILE)
    rehearsal = Rehearsal.from_dict(recorded) if recorded else _measure(run)
    if not recorded:
        run.workspace.write_object(FILE, rehearsal.to_dict())
    found = estimate(run.plan.document, rehearsal)
    _check_hours(run, found)
    return found


def endpoint_requests(run: TransferRun) -> int:
    """The number of requests that all endpoints get."""
    split = run.plan.split
    return sum(
        len(run.source_task(source).requests) + len(split.held_out)
        for source in run.plan.sources
        if source.kind == "endpoint"
    )


def _measure(run: TransferRun) -> Rehearsal:
    """Base first: if it already passes, nothing is spent on sources."""
    plan = run.plan
    items = run.model_task(BASE, ITEMS, plan.split.held_out, plan.of_items)
    base, _ = _rate(run, "the base", run.opener(plan.base_folder), items)
    _check_base(run, items)
    rates, right, examples = {}, [], list[tuple[Prompt, str]]()
    prompts = {prompt.id: prompt for prompt in plan.split.learnt}
    with Judge(allow_exec=plan.request.allow_exec) as judge:
        for source in plan.sources:
            task = run.source_task(source)
            rates[source.name], answers = _rate(run, source.name, source.open, task)
            verdicts = judge_answers(plan.split.learnt, {source.name: answers}, judge)
            asked = len({answer.id for answer in answers})
            right.append(len({each.id for each in verdicts.judged if each.passed}) / max(1, asked))
            examples += [(prompts[each.id], each.text) for each in answers if each.text.strip()]
    load, row = _training_costs(run, examples)
    return Rehearsal(
        sources=rates,
        base=base,
        right=max(right),
        load_seconds=load,
        row_seconds=row,
        base_bytes=sum(spec.nbytes for spec in plan.base.specs.values()),
        prompts=len(plan.split.learnt),
        keep=len(plan.split.keep),
        items=len(plan.split.held_out),
        general=len(plan.split.general),
        requests=endpoint_requests(run),
    )


def _rate(
    run: TransferRun, name: str, make: Callable[[], AnswerSource], task: SamplingTask
) -> tuple[SourceRate, Sequence[Any]]:
    """Ask for the first answers, and measure loading and answering apart."""
    loading = 0.0

    def load() -> AnswerSource:
        nonlocal loading
        started = time.monotonic()
        source = make()
        loading = time.monotonic() - started
        return source

    first = task.first(ANSWERS)
    started = time.monotonic()
    answers = run.ask(load, first, f"rehearsing {name}")
    answering = time.monotonic() - started - loading
    rate = SourceRate(loading, answering / max(1, len(first.requests)), len(task.requests))
    return rate, answers


def _check_base(run: TransferRun, items: SamplingTask) -> None:
    """Raise `StateError` if the base passes the held-out items already."""
    plan = run.plan
    with Judge(allow_exec=plan.request.allow_exec) as judge:
        first = items.first(ANSWERS)
        held_out = [request.prompt for request in first.requests]
        answers = run.ask(run.opener(plan.base_folder), first, "rehearsing the base")
        if share_right(held_out, answers, judge) < PASSES:
            return
        answers = run.ask(run.opener(plan.base_folder), items, "held-out items")
        share = share_right(plan.split.held_out, answers, judge)
    if share >= PASSES:
        raise StateError(
            f"the base already passes {share:.0%} of the {len(plan.split.held_out)} held-out "
            "items, so there is nothing to transfer",
            hint="use harder prompts, or stricter checks",
        )


def _training_costs(
    run: TransferRun, examples: Sequence[tuple[Prompt, str]]
) -> tuple[float, float]:
    """The seconds to load a training, and those of one row of SFT."""
    plan, train = run.plan, run.plan.document.train
    if not examples:
        return 0.0, 0.0
    rows = [answer_row(*examples[number % len(examples)]) for number in range(STEPS * train.micro)]
    folder = run.workspace.path / "rehearsal"
    training = Training(
        epochs=1,
        learning_rate=train.sft.lr,
        batch=train.micro,
        micro=train.micro,
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
    row = trained.step_seconds / train.micro
    return max(0.0, whole - len(rows) * row), row


def _check_memory(run: TransferRun) -> None:
    needed = BYTES_PER_PARAMETER * (run.plan.base.identity.parameters or 0)
    available = memory()
    if run.plan.request.device == "cpu" and needed > available:
        raise StateError(
            f"training needs at least {needed / 1e9:.1f} GB of memory ({BYTES_PER_PARAMETER} bytes "
            f"for each of {run.plan.base.identity.parameters:,} parameters); this machine has "
            f"{available / 1e9:.1f} GB",
            hint="use a smaller base, or a machine with more memory",
        )


def _check_hours(run: TransferRun, found: TransferEstimate) -> None:
    hours = run.plan.document.budget.hours
    if hours is not None and found.seconds > 3600 * hours:
        raise UsageError(
            f"the transfer would take {found.seconds / 3600:.2f} hours; `[budget] hours` is "
            f"{hours:g}:\n{found.arithmetic}",
            hint="use fewer prompts, draws or epochs, or a larger budget",
        )


def _check_requests(run: TransferRun) -> None:
    limit, split = run.plan.document.budget.requests, run.plan.split
    count = endpoint_requests(run)
    if limit is not None and count > limit:
        raise UsageError(
            f"the transfer would send {count} requests to endpoints: "
            f"{run.plan.document.sample.draws} draws for each of {len(split.learnt)} prompts, and "
            f"one for each of {len(split.held_out)} held-out items; `[budget] requests` is {limit}",
            hint="use fewer prompts or draws, or a larger budget",
        )
