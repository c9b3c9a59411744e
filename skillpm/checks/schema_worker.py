"""The sandbox worker for `json_schema`; the protocol is that of `worker`."""

from skillpm.checks.json_schema import JsonSchemaCheck
from skillpm.checks.schema_examiner import SchemaExaminer
from skillpm.checks.worker import ExamineHandler
from skillpm.sandbox.worker import Handler


def worker() -> Handler:
    """A handler with an examiner for schemas."""
    return ExamineHandler({JsonSchemaCheck.kind: SchemaExaminer}).answer
