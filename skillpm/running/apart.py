"""A stranger's tokenizer in a process of its own: it may hang, break or fill memory there.

What it replaces, splits and adds is told by files of a pack, and regular expressions among them can
take for ever; no check of such files is sound. So they are run where little can go wrong.
"""

import json
import os
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

SECONDS = 60.0
"""What one tokenizer may take in all, after its process has started."""
_START = 300.0
"""Seconds for a process to import its libraries on a machine that is busy."""
_BROKE = "its tokenizer broke down, or took more memory or time than it may have"


@dataclass
class Apart:
    """The process, started when it is first needed and again after it has died."""

    seconds: float = SECONDS
    _process: "subprocess.Popen[str] | None" = field(default=None, repr=False)

    def tokenizer(self, folder: Path) -> "Tokenizer":
        """The tokenizer in a folder, which may go then; the one before it is good no more.

        Raises `ValueError` where there is none that can be loaded.
        """
        self._start()
        found = Tokenizer(self, self.seconds)
        facts = found.ask({"load": str(folder)})
        return replace(found, **facts)

    def ask(self, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a request. Raises `ValueError` where there is none; the process ends then.

        What the tokenizer itself raised is raised as it said it.
        """
        found = self._line(json.dumps(asked) + "\n", seconds)
        if "error" in found:
            raise ValueError(found["error"])
        return found

    def _start(self) -> None:
        if self._process is not None:
            return
        # -P: a folder that a command is run in may hold modules of any name.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "skillpm.running.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"},
        )
        weakref.finalize(self, _end, self._process)
        self._line("", _START)

    def _line(self, sent: str, seconds: float) -> dict[str, Any]:
        """Send a line, or nothing, and read the next one, both within so many seconds."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ValueError(_BROKE)
        patience = threading.Timer(seconds, process.kill)
        patience.start()
        try:
            process.stdin.write(sent)
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            patience.cancel()
        if not line.endswith("\n"):
            self._process = None
            _end(process)
            raise ValueError(_BROKE)
        found: dict[str, Any] = json.loads(line)
        return found


@dataclass
class Tokenizer:
    """What a runner asks of a tokenizer, answered from elsewhere within so many seconds in all."""

    apart: Apart
    left: float
    pad_token_id: int | None = None
    eos_token_id: int | None = None
    sep_token_id: int | None = None
    model_max_length: int | None = None

    def __call__(
        self, text: str, *, truncation: bool, max_length: int | None = None
    ) -> dict[str, list[int]]:
        """A text's ids, as the tokenizers of transformers give them. Raises `ValueError`."""
        found = self.ask({"text": text, "most": max_length if truncation else None})
        return {"input_ids": found["ids"]}

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A request of which the time is counted."""
        started = time.monotonic()
        try:
            return self.apart.ask(asked, max(0.0, self.left))
        finally:
            self.left -= time.monotonic() - started


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent yet goes nowhere
                pipe.close()
