"""The sandbox worker for `sql`, `python` and `command`.

Requests: `{"check": {KIND: VALUE}, "answer": TEXT}`, answered by `{"passed", "reason"}`, and
`{"check": {KIND: VALUE}}`, answered by `{"fault": TEXT or null}`.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from skillpm.checks.check import Examiner
from skillpm.checks.kinds import parse_check
from skillpm.checks.python_examiner import PythonExaminer
from skillpm.checks.python_tests import PythonCheck
from skillpm.checks.sql import SqlCheck
from skillpm.checks.sql_examiner import SqlExaminer
from skillpm.sandbox.worker import Handler
from skillpm.spec import json

_KEPT = 64
"""Examiners that are kept: the answers to one prompt come one after another."""


class ExamineHandler:
    """Answers requests with the examiners of some kinds."""

    def __init__(self, examiners: Mapping[str, Callable[[Any], Examiner]]) -> None:
        self._examiners = examiners
        self._examiner = lru_cache(_KEPT)(self._build)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        examiner = self._examiner(json.canonical(request["check"]))
        if "answer" not in request:
            return {"fault": examiner.fault()}
        verdict = examiner.verdict(request["answer"])
        return {"passed": verdict.passed, "reason": verdict.reason}

    def _build(self, plain: bytes) -> Examiner:
        check = parse_check(json.parse(plain, "the check"))
        return self._examiners[check.kind](check)


def worker() -> Handler:
    """A handler with examiners for SQL and Python."""
    return ExamineHandler({
        SqlCheck.kind: SqlExaminer,
        PythonCheck.kind: PythonExaminer,
    }).answer  # fmt: skip
