"""Train everything that is missing, seed by seed: an interrupted run leaves complete seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.continual import examinations, language, texts
from benchmarks.continual.chains import Chains
from benchmarks.continual.language import LanguageSubject
from benchmarks.continual.sentences import SentencesSubject
from benchmarks.continual.settings import SEEDS
from benchmarks.finetunes.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.continual.subject import Subject


def prepare(cache: Path) -> list[Subject]:
    """Prepare the bases and the texts."""
    language.base(cache, advance=Progress("lm-base"))
    for kind in texts.ALL:
        language.domain(cache, kind)
    for task in examinations.READERS:
        examinations.prepare(cache, task)
    return [LanguageSubject(cache), SentencesSubject(cache)]


def train(cache: Path, only: str | None = None) -> None:
    """Train all seeds of all subjects, or of one subject."""
    subjects = [one for one in prepare(cache) if only in {None, one.name}]
    for seed in SEEDS:
        for subject in subjects:
            Chains(cache, subject, seed, progress=Progress).learn_all()
