"""Structured logs: one JSON object on each line of stderr. Secrets never get into a record."""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_LOGGER = logging.getLogger("skillpm.server")


class _JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, event, and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON. Fields that JSON does not have are written as text."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            problem = record.exc_info[1]
            line["error"] = type(problem).__name__
            # Only places in the code: an exception's text and locals may quote a request.
            frames = traceback.extract_tb(problem.__traceback__)[-12:]
            line["trace"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, default=str)


def start_logging(level: str) -> None:
    """Write the service's records to stderr. Other libraries log warnings in the same form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    _LOGGER.setLevel(_LEVELS[level])


def log(
    level: str,
    event: str,
    fields: Mapping[str, object] | None = None,
    problem: BaseException | None = None,
) -> None:
    """Write one record. `fields` must not contain tokens, bodies, query strings or URLs."""
    _LOGGER.log(_LEVELS[level], event, exc_info=problem, extra={"fields": fields or {}})
