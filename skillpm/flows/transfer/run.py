"""One run of a transfer: its folder, its clock, and how models are asked in it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from skillpm.checks.judge import Judge
from skillpm.errors import SkillpmError
from skillpm.flows.session.session import Session
from skillpm.flows.transfer.plan import TransferPlan, answer_key
from skillpm.flows.transfer.sources import SourceFacts
from skillpm.transfer.answers import RecordedAnswer
from skillpm.transfer.estimates import judging_limit
from skillpm.transfer.generated import SamplingSettings
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.sampling import AnswerSource, SamplingTask, requests_of, sample
from skillpm.transfer.sources.folder import FolderSource
from skillpm.transfer.stages import Stage, StageTime
from skillpm.transfer.workspace import AnswerFile, TransferWorkspace

_TIMES = "times.json"
BASE, KEEP = "_base", "_keep"
"""Names of files of answers of the base; no source can have them."""
ITEMS, GENERAL = "items", "general"
"""Folders of the answers to held-out items and to general questions."""


@dataclass
class TransferRun:
    """A plan, the folder that holds what it has paid for, and the seconds of each stage."""

    session: Session
    plan: TransferPlan
    workspace: TransferWorkspace
    notes: list[str] = field(default_factory=list)

    @cached_property
    def judge(self) -> Judge:
        """Judges all answers of the run; one limit of time holds for all stages together."""
        plan = self.plan
        limit = judging_limit(plan.judged_answers, plan.document.budget.hours)
        return Judge(allow_exec=plan.request.allow_exec, seconds=limit)

    def say(self, note: str) -> None:
        """Print a note, and keep it for the report."""
        self.notes.append(note)
        self.session.say(f"note: {note}")

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add the seconds of the block to those of the stage, also if it fails."""
        started = time.monotonic()
        try:
            yield
        except BaseException:
            with suppress(SkillpmError):  # The error of the block is the one that counts.
                self._add_time(stage, time.monotonic() - started)
            raise
        self._add_time(stage, time.monotonic() - started)

    def _add_time(self, stage: Stage, seconds: float) -> None:
        times = self.workspace.read_object(_TIMES)
        times[stage] = round(times.get(stage, 0.0) + seconds, 3)
        self.workspace.write_object(_TIMES, times)

    @property
    def times(self) -> tuple[StageTime, ...]:
        """The seconds of each stage that was begun."""
        times = self.workspace.read_object(_TIMES)
        return tuple(StageTime(stage, times[stage]) for stage in Stage if stage in times)

    def ask(self, source: Callable[[], AnswerSource], task: SamplingTask, label: str) -> "Answers":
        """The answers to all requests; only missing ones are asked for."""
        return sample(source, task, self.session.progress(label, len(task.requests)))

    def source_task(self, source: SourceFacts) -> SamplingTask:
        """The requests to a source: all draws of all prompts that are learnt."""
        plan = self.plan
        draws = plan.document.sample.draws
        if source.kind == "answers":
            return self._recorded_task(source)
        return self._task(
            source.name, self.workspace.answers(source.name), plan.split.learnt, plan.sampling,
            draws=draws, batch=source.batch,
        )  # fmt: skip

    def _recorded_task(self, source: SourceFacts) -> SamplingTask:
        """The answers of a file: every draw that it has, whatever `draws` and the temperature."""
        texts = self.plan.inputs.answers[source.name]
        key = answer_key(self.plan, source.name, self.plan.sampling)
        drawn = replace(self.plan.sampling, temperature=1.0)  # at 0 there is one draw
        requests = [
            request
            for prompt in self.plan.split.learnt
            for request in requests_of([prompt], drawn, len(texts.get(prompt.id, ())), key)
        ]
        file = self.workspace.answers(source.name)
        return SamplingTask(requests, self.plan.sampling, file, key)

    def item_task(self, source: SourceFacts) -> SamplingTask:
        """The requests to a source for one answer to each held-out item."""
        file = self.workspace.answers(source.name, ITEMS)
        plan = self.plan
        return self._task(source.name, file, plan.split.held_out, plan.of_items, batch=source.batch)

    def model_task(
        self,
        name: str,
        folder: str,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        digest: str = "",
    ) -> SamplingTask:
        """The requests to the base, or to a model that was trained from it.

        `digest` is that of what the model learnt. Answers of a model that learnt something else are
        not used.
        """
        file, batch = self.workspace.answers(name, folder), self.plan.document.sample.batch
        return self._task(f"{name} {digest}", file, prompts, sampling, batch=batch)

    def _task(
        self,
        name: str,
        file: AnswerFile,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        *,
        draws: int = 1,
        batch: int,
    ) -> SamplingTask:
        key = answer_key(self.plan, name, sampling)
        requests = requests_of(prompts, sampling, draws, key)
        return SamplingTask(requests, sampling, file, key, batch, sampling.longest)

    def opener(self, folder: Path) -> Callable[[], AnswerSource]:
        """Loads a model folder, once however often it is called."""
        return once(partial(FolderSource.load, folder, self.plan.request.device))


Answers = tuple[RecordedAnswer, ...]


def once(make: Callable[[], AnswerSource]) -> Callable[[], AnswerSource]:
    """A function that calls `make` when it is first called."""
    made: list[AnswerSource] = []

    def get() -> AnswerSource:
        if not made:
            made.append(make())
        return made[0]

    return get
