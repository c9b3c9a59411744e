"""Ctrl-C at any time, also during imports: one error message and exit code 130."""

import os
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

INTERRUPTED = 130
SENTENCE = "interrupted; no partial changes remain"


def leave_interrupted(*, as_json: bool = False, sentence: str = SENTENCE) -> NoReturn:
    """Print the error and end the process at once, without waiting for threads.

    For interrupts before the command line is imported, or after it has finished.
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


def keep_exit_code() -> None:
    """Make the process exit with its own code, although Ctrl-C interrupted source code in `exec`.

    CPython remembers that a KeyboardInterrupt left source code that `exec` ran, as `dataclass` does
    for its methods. With `python -m` it then ends by SIGINT, even if the exception was handled. It
    forgets the interrupt when `exec` runs any other source code.
    """
    exec("")  # noqa: S102


def leave_when_interrupted(sentence: str = "interrupted") -> None:
    """Make a script print one message instead of a traceback when Ctrl-C ends it.

    Call it before slow imports.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            leave_interrupted(sentence=sentence)
        before(kind, value, trace)

    if threading.current_thread() is threading.main_thread():
        sys.excepthook = hook
