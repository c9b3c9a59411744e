"""The process of `running.apart`: a stranger's tokenizer, with a bound on memory and none on trust.

Reads a request a line, {"load": FOLDER} or {"text": TEXT, "most": COUNT or null}, and answers each
with a line. What libraries print, panics too, goes nowhere.
"""

import json
import os
import resource
import sys
import threading
import time
from contextlib import suppress
from typing import Any, TextIO

from transformers import AutoTokenizer

from skillpm.running.folder import why

MEMORY = 2 << 30
"""Bytes that loading and answering may take, beside the libraries."""
SECONDS = 600
"""Of a processor, for one that nobody stops any more."""
LONGEST = 1 << 18
"""Tokens of a text."""
_PAUSE = 0.5
_TOLD = 500
"""Characters of an error."""


def main() -> None:
    """Answer until nobody asks any more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(silence, stream.fileno())
    _limit()
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    _answer(answers)


def _leave_with(parent: int) -> None:
    """End when the process that asks has ended, whatever the tokenizer is at just then."""
    while os.getppid() == parent:
        time.sleep(_PAUSE)
    os._exit(1)


def _limit() -> None:
    """Bound what is added to the memory that the process has by now, where the system can."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def _answer(answers: TextIO) -> None:
    tokenizer: Any = None
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if "load" in asked:
                tokenizer = AutoTokenizer.from_pretrained(asked["load"], trust_remote_code=False)
                found = _facts(tokenizer)
            else:
                found = {"ids": _ids(tokenizer, asked["text"], asked["most"])}
        except BaseException as problem:  # noqa: BLE001 - a panic is no Exception
            found = {"error": why(problem)[:_TOLD]}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


def _facts(tokenizer: Any) -> dict[str, Any]:
    names = ("pad_token_id", "eos_token_id", "sep_token_id", "model_max_length")
    return {name: getattr(tokenizer, name, None) for name in names}


def _ids(tokenizer: Any, text: str, most: int | None) -> list[int]:
    cut = {"truncation": False} if most is None else {"truncation": True, "max_length": most}
    found: list[int] = tokenizer(text, **cut)["input_ids"]
    if len(found) > LONGEST:
        raise ValueError(f"its tokenizer makes {len(found)} tokens of {len(text)} characters")
    return found


if __name__ == "__main__":
    main()
