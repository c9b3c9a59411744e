"""Judges answers: cheap checks in this process, the others in the sandbox.

A sandbox serves one answer after another, so that 200 queries take seconds. An answer that the
sandbox stops is wrong, and the next answer gets a new worker. A program gets a worker of its own.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from skillpm.checks.check import (
    ANSWER_LIMIT,
    Check,
    LocalCheck,
    Place,
    Verdict,
    failed,
    readable,
    too_long,
)
from skillpm.checks.command import CommandCheck
from skillpm.checks.kinds import to_plain
from skillpm.errors import GraftError, StateError, UsageError
from skillpm.parallel import Advance, no_advance
from skillpm.sandbox.errors import FailureKind, ForeignWorkError
from skillpm.sandbox.policy import SandboxLimits, SandboxPolicy
from skillpm.sandbox.process import Sandbox
from skillpm.sandbox.session import SandboxSession
from skillpm.spec.words import counted

SHARED_SECONDS = 60.0
"""Seconds for one answer, on a busy machine. Steps and memory bound a query long before."""
PROGRAM_SECONDS = 10
"""Processor seconds for one program."""
_SHARED = SandboxLimits(memory=512 << 20, processor_seconds=10**6, answer_bytes=1 << 20)
"""The worker serves any number of answers, so `SHARED_SECONDS` limits the time of each."""
_PROGRAM = SandboxLimits(
    memory=1 << 30, processor_seconds=PROGRAM_SECONDS, folder_bytes=16 << 20, answer_bytes=1 << 20
)
_PROGRAM_TIMEOUT = 6.0 * PROGRAM_SECONDS
ALLOW_EXEC = "--allow-exec"


@dataclass
class Judge:
    """Judges answers by checks. Use it as a context manager, which ends the sandboxes.

    `allow_exec` allows `python` and `command`, which run programs that a model wrote. `seconds`
    limits the time of all checks together, also after `close`.
    """

    allow_exec: bool = False
    seconds: float = math.inf
    _spent: float = field(default=0.0, repr=False)
    _judged: int = field(default=0, repr=False)
    _workers: dict[str, "_Worker"] = field(default_factory=dict, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the sandboxes. The judge can be used again."""
        for worker in self._workers.values():
            worker.sandbox.close()
        self._workers.clear()

    def verdicts(
        self, answers: Sequence[tuple[Check, str]], *, advance: Advance = no_advance
    ) -> list[Verdict]:
        """Judge each answer by its check, in order.

        Raises `UsageError` for a program without `allow_exec`, `StateError` for a check that needs
        a model, and if the sandbox cannot be started, and `GraftError` after `seconds`.
        """
        self.refuse([check for check, _ in answers])
        verdicts = []
        for check, answer in answers:
            verdicts.append(self._verdict(check, answer))
            advance(1)
        return verdicts

    def faults(self, checks: Sequence[Check]) -> list[str | None]:
        """For each check, the reason why no answer can pass it, or None.

        Raises the errors of `verdicts`.
        """
        self.refuse(checks)
        return [
            check.fault() if isinstance(check, LocalCheck) else self._fault(check)
            for check in checks
        ]

    def refuse(self, checks: Sequence[Check]) -> None:
        """Raise `UsageError` or `StateError` if a check cannot be judged here."""
        kinds = {check.kind for check in checks if check.place is Place.OWN_SANDBOX}
        if kinds and not self.allow_exec:
            raise UsageError(
                f"the checks of kind {' and '.join(sorted(kinds))} run programs that a model wrote",
                hint=f"pass `{ALLOW_EXEC}` to run them in the sandbox",
            )
        if any(check.place is Place.MODEL for check in checks):
            raise StateError(
                "a check of kind `reward` needs a classifier, and skillpm runs none",
                hint="score the answers with your own program, write the good ones to a file, and "
                "name it as `answers` of a source (docs/adr/0051-checks-as-data.md)",
            )

    def _verdict(self, check: Check, answer: str) -> Verdict:
        with self._timed():
            if isinstance(check, LocalCheck):
                return check.verdict(answer)
            if len(answer) > ANSWER_LIMIT:
                return too_long(answer)
            return self._worker(check).verdict(check, readable(answer))

    def _fault(self, check: Check) -> str | None:
        with self._timed():
            return self._worker(check).fault(check)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the time of the block. Raises `GraftError` if it ends after `seconds`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._spent += time.monotonic() - started
        self._judged += 1
        if self._spent > self.seconds:
            raise GraftError(
                f"the checks took more than {self.seconds:,.0f} seconds, for "
                f"{counted(self._judged, 'answer')}",
                hint="use fewer prompts or draws, or checks that take less time: smaller databases,"
                " cheaper gold queries, schemas and tests",
            )

    def _worker(self, check: Check) -> "_Worker":
        if check.worker is None:
            raise AssertionError(check.kind)
        runs_programs = check.place is Place.OWN_SANDBOX
        key = f"{check.worker} {runs_programs}"
        if key not in self._workers:
            limits = _PROGRAM if runs_programs else _SHARED
            seconds = _PROGRAM_TIMEOUT if runs_programs else SHARED_SECONDS
            is_command = check.kind == CommandCheck.kind
            sandbox = Sandbox(SandboxPolicy(check.worker, limits, programs=is_command))
            kind = _CommandWorker if is_command else _Worker
            self._workers[key] = kind(sandbox, seconds, renewed=runs_programs)
        return self._workers[key]


@dataclass
class _Worker:
    """A sandbox with its current session. With `renewed`, every answer gets a new session."""

    sandbox: Sandbox
    seconds: float
    renewed: bool
    _session: SandboxSession | None = field(default=None, repr=False)

    def verdict(self, check: Check, answer: str) -> Verdict:
        """Judge an answer. If the sandbox stops the work, the answer is wrong."""
        try:
            found = self._ask({"check": to_plain(check), "answer": answer})
        except ForeignWorkError as problem:
            return failed(f"the work was stopped: {problem}")
        return Verdict.of(found.get("passed") is True, str(found.get("reason", "")))

    def fault(self, check: Check) -> str | None:
        """The check's fault. If the sandbox stops the work, that is the fault."""
        try:
            fault = self._ask({"check": to_plain(check)}).get("fault")
        except ForeignWorkError as problem:
            return f"the work was stopped: {problem}"
        return None if fault is None else str(fault)

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request. Raises `ForeignWorkError`, and `StateError` without a sandbox."""
        if self._session is None or self.renewed:
            self._session = self._open()
        self._session.left = self.seconds
        try:
            return self._session.ask(request)
        except ForeignWorkError as problem:
            if problem.kind is not FailureKind.REFUSED:
                self._session = None
            raise

    def _open(self) -> SandboxSession:
        try:
            session = self.sandbox.open({}, self.seconds)
        except ForeignWorkError as problem:
            raise StateError(
                f"answers cannot be judged: {problem}", hint="`skillpm doctor` tests the sandbox"
            ) from problem
        missing = session.report.missing
        if self.renewed and missing:
            raise StateError(
                "programs that a model wrote are not run here: the sandbox cannot keep them from "
                f"trying to {missing[0].forbids}",
                hint="`skillpm doctor` lists what this system lacks",
            )
        return session


class _CommandWorker(_Worker):
    """A worker that becomes a program, whose exit code is the verdict."""

    def verdict(self, check: Check, answer: str) -> Verdict:
        """Judge an answer: the exit code 0 passes."""
        try:
            self._ask({"check": to_plain(check), "answer": answer})
        except ForeignWorkError as problem:
            if problem.exit_code is None:
                return failed(f"the command was stopped: {problem}")
            reason = f"the command ended with exit code {problem.exit_code}"
            return Verdict.of(problem.exit_code == 0, reason)
        return failed("the command wrote to a pipe that is not its own")
