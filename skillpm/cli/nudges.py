"""Signals that arrive just before Python waits for a line of the terminal.

Python handles a signal between two steps of its interpreter. `input` checks once, then waits in C:
a signal that arrives in between stays pending until a key is pressed.
"""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_NUDGE = signal.SIGURG
"""A signal that is ignored by default, and that skillpm receives from itself alone."""
_PAUSES = (0.05, 0.2, 1.0)
"""Seconds from a signal to the first nudge, and between nudges."""
_STOP = b"\0"
_NAME = "skillpm-nudge"


@contextmanager
def nudged() -> Iterator[None]:
    """While the block runs, wake the main thread up after each signal, so that it handles it.

    Python writes the number of a signal to a socket as soon as it arrives. A thread reads it and
    sends a signal that does nothing, which interrupts the wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main = threading.get_ident()
    noted, written = socket.socketpair()
    written.setblocking(False)
    handler = signal.signal(_NUDGE, _ignore)
    before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    stopped = threading.Event()
    thread = threading.Thread(target=_nudge, args=(noted, main, stopped), name=_NAME)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        stopped.set()
        with suppress(OSError):
            written.send(_STOP)
        thread.join()
        signal.signal(_NUDGE, handler)
        noted.close()
        written.close()


def _nudge(noted: socket.socket, main: int, stopped: threading.Event) -> None:
    while not stopped.is_set():
        numbers = noted.recv(64)
        if set(numbers) == {_NUDGE}:
            continue
        for pause in _PAUSES:
            if stopped.wait(pause):
                return
            signal.pthread_kill(main, _NUDGE)


def _ignore(number: int, frame: FrameType | None) -> None:
    del number, frame
