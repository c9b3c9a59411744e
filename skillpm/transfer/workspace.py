"""The folder of a transfer in the home: what it has paid for, so that a killed command continues.

`SKILLPM_HOME/transfer/KEY` holds prompts' answers, verdicts, rows and trained weights. KEY is the
digest of the base's root, the settings, the inputs and the versions of tools, so a changed setting
starts anew. It is readable by its owner only, also in a home that a group shares: prompts and
answers are the user's data.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.errors import StateError
from skillpm.files.access import PRIVATE, HomeFolder
from skillpm.files.errors import write_error
from skillpm.journal.lock import CLAIM, LOCK, hold_lock
from skillpm.journal.owner import HOLDER
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.transfer_sources import FOLDER
from skillpm.transfer.answers import RecordedAnswer, read_answer_log
from skillpm.transfer.lines import FILE_LIMIT

_KEY = 32
_ANSWERS_LIMIT = 1 << 36
"""Bytes of a file of recorded answers. What they need of the memory is checked before they are
asked for."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_APPEND = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND


def key_of(determinants: Mapping[str, Any]) -> str:
    """The name of the folder of a transfer, from everything that decides its result."""
    return Digest.of(json.canonical(dict(determinants))).hex[:_KEY]


@dataclass(frozen=True)
class TransferWorkspace:
    """The folder of one transfer."""

    folder: HomeFolder
    key: str

    @classmethod
    @contextmanager
    def open(
        cls, home: Path, key: str, *, timeout: float, say: Any
    ) -> Iterator["TransferWorkspace"]:
        """Open the folder of a key for one command at a time; create it if it is missing."""
        with (
            HomeFolder.make(home) as top,
            top.subfolder(FOLDER, create=True) as parent,
            parent.subfolder(key, create=True, mode=PRIVATE.folder) as folder,
            hold_lock(folder, "transfer", timeout=timeout, say=say, what="the transfer"),
        ):
            yield cls(folder, key)

    @property
    def path(self) -> Path:
        """The folder, for libraries that read and write files by path."""
        return self.folder.path

    @contextmanager
    def file_errors(self) -> Iterator[None]:
        """Translate every `OSError` in the block to a `StateError` that names the file."""
        try:
            yield
        except BrokenPipeError:  # The output is closed.
            raise
        except OSError as problem:
            raise StateError(
                f"`{problem.filename or self.path}` cannot be read or written: "
                f"{problem.strerror or problem}",
                hint="free disk space, or set SKILLPM_HOME to a folder on another disk"
                if problem.errno in _FULL
                else None,
            ) from problem

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it is not there."""
        return self.folder.read(name, limit=FILE_LIMIT) if self.folder.has(name) else None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file by one rename."""
        self.folder.write(name, data)

    def answers(self, model: str, folder: str = "answers") -> "AnswerFile":
        """The recorded answers of a source, or of another model in a folder of its own."""
        return AnswerFile(self.folder.subfolder(folder, create=True), f"{model}.jsonl")

    def read_object(self, name: str) -> dict[str, Any]:
        """A JSON document; empty if it is not there."""
        data = self.read(name)
        return {} if data is None else json.parse_object(data, f"`{self.path / name}`")

    def write_object(self, name: str, plain: Mapping[str, Any]) -> None:
        """Replace a JSON document by one rename."""
        self.write(name, json.canonical(dict(plain)) + b"\n")

    def clear(self) -> None:
        """Remove everything but the lock: what was paid for is paid for again."""
        for name in self.folder.names():
            if name not in (LOCK, HOLDER, CLAIM):
                self.folder.remove_tree(name)


@dataclass
class AnswerFile:
    """The recorded answers of one source: lines that are appended and synced."""

    folder: HomeFolder
    name: str

    def read(self) -> tuple[RecordedAnswer, ...]:
        """The recorded answers, after cutting off a line that a killed command left unfinished."""
        if not self.folder.has(self.name):
            return ()
        data = self.folder.read(self.name, limit=_ANSWERS_LIMIT)
        log = read_answer_log(data, f"`{self.folder.path / self.name}`")
        if log.length != len(data):
            self._cut(log.length)
        return log.answers

    def keep(self, answers: Iterable[RecordedAnswer]) -> None:
        """Replace the file by some of its answers."""
        self.folder.write(self.name, b"".join(answer.to_line() for answer in answers))

    def append(self, answers: Iterable[RecordedAnswer]) -> None:
        """Append answers by one write, and sync it. Raises `StateError` if the disk is full."""
        data = b"".join(answer.to_line() for answer in answers)
        is_new = not self.folder.has(self.name)
        try:
            fd = os.open(self.name, _APPEND, 0o600, dir_fd=self.folder.fd)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            if is_new:
                os.fsync(self.folder.fd)
        except OSError as problem:
            raise write_error(self.folder.path / self.name, problem) from problem

    def _cut(self, length: int) -> None:
        fd = os.open(self.name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder.fd)
        try:
            os.ftruncate(fd, length)
            os.fsync(fd)
        finally:
            os.close(fd)
