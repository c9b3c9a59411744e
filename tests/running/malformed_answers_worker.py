"""A worker with a compromised library: its answers have any form."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def worker() -> Callable[[dict[str, Any]], dict[str, Any]]:
    return _answer


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if "load" in request:
        return {"pad_token_id": True, "eos_token_id": "2", "model_max_length": 10**40}
    if "compare" in request:
        return {"changed": "everything"}
    answer: dict[str, Any] = eval(Path("answer.txt").read_text())  # noqa: S307 - the test's own
    return answer
