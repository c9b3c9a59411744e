"""The three pipes to a worker, read and written with bounds on time and size."""

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
"""Bytes that are kept of what a worker prints; the rest is read and forgotten."""


@dataclass
class WorkerPipes:
    """Our ends: requests out, answers and printed text in. They close with this object."""

    requests: int
    answers: int
    errors: int
    answer_bytes: int
    """The longest answer."""
    printed: bytearray = field(default_factory=bytearray, repr=False)
    _received: bytearray = field(default_factory=bytearray, repr=False)
    _unsent: memoryview = field(default=memoryview(b""), repr=False)
    _close: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        handles = (self.requests, self.answers, self.errors)
        self._close = weakref.finalize(self, _close_all, handles)

    @classmethod
    def open(cls, answer_bytes: int) -> tuple["WorkerPipes", list[int]]:
        """New pipes, and the worker's ends of them: its standard input, output and error."""
        (their_in, requests), (answers, their_out), (errors, their_err) = (
            os.pipe() for _ in range(3)
        )
        for handle in (requests, answers, errors):
            os.set_blocking(handle, False)
        return cls(requests, answers, errors, answer_bytes), [their_in, their_out, their_err]

    @property
    def is_open(self) -> bool:
        """Whether `close` has not been called."""
        return bool(self._close.alive)

    def close(self) -> None:
        """Close our ends: the worker reads the end of its requests."""
        self._close()

    def send_all(self, data: bytes, deadline: float) -> None:
        """Send a line to which there is no answer. Raises `ForeignWorkError` after the deadline."""
        self._transfer(data, deadline, answered=False)

    def exchange(self, data: bytes, deadline: float) -> bytes:
        """Send a line, and read the next one and what the worker prints meanwhile.

        Raises `EOFError` where the worker has ended, `ForeignWorkError` for an answer that is too
        long or comes unasked, or after the deadline (of the monotonic clock).
        """
        self._transfer(data, deadline, answered=True)
        line, _, rest = bytes(self._received).partition(b"\n")
        if rest:
            raise ForeignWorkError(FailureKind.OUTPUT, "it answered what nothing asked")
        self._received.clear()
        return line

    def drain_printed(self) -> str:
        """What the worker has printed so far, of its first 8 KiB."""
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
        """Write what fits; whether there is more."""
        try:
            self._unsent = self._unsent[os.write(self.requests, self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            pass
        except OSError:  # the worker reads no more: the end of its answers says the rest
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
