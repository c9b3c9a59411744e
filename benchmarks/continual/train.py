"""Make everything that is not there yet, seed by seed: a run cut off leaves whole seeds."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.continual import examinations, language, texts
from benchmarks.continual.chains import Chains
from benchmarks.continual.language import LanguageSubject
from benchmarks.continual.sentences import SentencesSubject
from benchmarks.continual.settings import SEEDS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.continual.subject import Subject

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Lines on stderr, each with the name of what is being made; not one per step."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say how far it is, if the last line is long enough ago."""
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES or done == total:
            self._last = now
            clock = time.strftime("%H:%M:%S")
            print(f"{clock} {self._label}: {stage}, {done} of {total}", file=sys.stderr, flush=True)


def prepare(cache: Path) -> list[Subject]:
    """Bases and texts."""
    language.base(cache, advance=Progress("lm-base"))
    for kind in texts.ALL:
        language.domain(cache, kind)
    for task in examinations.READERS:
        examinations.prepare(cache, task)
    return [LanguageSubject(cache), SentencesSubject(cache)]


def train(cache: Path) -> None:
    """All seeds of all subjects."""
    subjects = prepare(cache)
    for seed in SEEDS:
        for subject in subjects:
            Chains(cache, subject, seed, progress=Progress).learn_all()
