"""Ctrl-C at any time: one sentence and exit code 130, while modules are imported too."""

import os
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

INTERRUPTED = 130
SENTENCE = "interrupted; nothing is half done"


def leave_interrupted(*, as_json: bool = False, sentence: str = SENTENCE) -> NoReturn:
    """Say that the process was interrupted, and end it at once, whatever its threads do.

    For moments in which the command line is not there yet, or not any more.
    """
    text = f"error: {sentence}\n"
    if as_json:
        error = f'{{"kind": "interrupted", "message": "{sentence}", "hint": null}}'
        text = f'{{"schema_version": 1, "error": {error}}}\n'
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with suppress(OSError):
        os.write(1 if as_json else 2, text.encode())
    os._exit(INTERRUPTED)


def leave_when_interrupted(sentence: str = "interrupted") -> None:
    """Have a script that Ctrl-C ends say so in one sentence instead of a traceback.

    Call it before the script imports what takes long.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            leave_interrupted(sentence=sentence)
        before(kind, value, trace)

    if threading.current_thread() is threading.main_thread():
        sys.excepthook = hook
