"""The three pipes to a worker, with limits on time and size."""

import os
import selectors
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from skillpm.sandbox.errors import FailureKind, ForeignWorkError

_CHUNK = 1 << 16
_PRINTED = 1 << 13
"""The bytes that are kept of a worker's standard error; the rest is read and discarded."""


@dataclass
class WorkerPipes:
    """The parent's ends of the pipes: requests, answers and standard error of the worker.

    The file descriptors are closed when this object is garbage-collected.
    """

    requests: int
    answers: int
    errors: int
    answer_bytes: int
    """The largest size of an answer."""
    printed: bytearray = field(default_factory=bytearray, repr=False)
    _received: bytearray = field(default_factory=bytearray, repr=False)
    _unsent: memoryview = field(default=memoryview(b""), repr=False)
    _close: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        handles = (self.requests, self.answers, self.errors)
        self._close = weakref.finalize(self, _close_all, handles)

    @classmethod
    def open(cls, answer_bytes: int) -> tuple["WorkerPipes", list[int]]:
        """Create pipes. Also returns the worker's ends: standard input, output and error."""
        (stdin, requests), (answers, stdout), (errors, stderr) = (os.pipe() for _ in range(3))
        for handle in (requests, answers, errors):
            os.set_blocking(handle, False)
        return cls(requests, answers, errors, answer_bytes), [stdin, stdout, stderr]

    @property
    def is_open(self) -> bool:
        """Whether `close` has not been called."""
        return bool(self._close.alive)

    def close(self) -> None:
        """Close the parent's ends. The worker then reads the end of its standard input."""
        self._close()

    def send_all(self, data: bytes, deadline: float) -> None:
        """Send a line that has no answer. Raises `ForeignWorkError` after the deadline."""
        self._transfer(data, deadline, answered=False)

    def exchange(self, data: bytes, deadline: float) -> bytes:
        """Send a line and return the answer, a line. `deadline` is a time of the monotonic clock.

        Raises `EOFError` if the worker has ended, and `ForeignWorkError` for an answer that is too
        long, for a second answer, and after the deadline.
        """
        self._transfer(data, deadline, answered=True)
        line, _, rest = bytes(self._received).partition(b"\n")
        if rest:
            raise ForeignWorkError(FailureKind.OUTPUT, "it gave more than one answer to a request")
        self._received.clear()
        return line

    def drain_printed(self) -> str:
        """The text that the worker has printed to standard error so far; its first 8 KiB."""
        with suppress(OSError):
            while self._read_printed():
                pass
        return bytes(self.printed).decode(errors="replace")

    def _transfer(self, data: bytes, deadline: float, *, answered: bool) -> None:
        self._unsent = memoryview(data)
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.requests, selectors.EVENT_WRITE, self._write)
            waiting.register(self.errors, selectors.EVENT_READ, self._read_printed)
            if answered:
                waiting.register(self.answers, selectors.EVENT_READ, self._read_answer)
            while b"\n" not in self._received if answered else self._unsent:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ForeignWorkError(FailureKind.TIME, "it took more time than it has")
                for key, _ in waiting.select(left):
                    if not key.data():
                        waiting.unregister(key.fd)

    def _write(self) -> bool:
        """Write as much as the pipe takes. Returns whether more is left."""
        try:
            self._unsent = self._unsent[os.write(self.requests, self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            pass
        except OSError:  # The worker has ended; reading its answers will report that.
            self._unsent = memoryview(b"")
        return bool(self._unsent)

    def _read_answer(self) -> bool:
        data = os.read(self.answers, _CHUNK)
        if not data:
            raise EOFError
        self._received += data
        if len(self._received) > self.answer_bytes:
            text = f"it answered more than {self.answer_bytes} bytes"
            raise ForeignWorkError(FailureKind.OUTPUT, text)
        return True

    def _read_printed(self) -> bool:
        data = os.read(self.errors, _CHUNK)
        self.printed += data[: _PRINTED - len(self.printed)]
        return bool(data)


def _close_all(handles: tuple[int, ...]) -> None:
    for handle in handles:
        os.close(handle)
