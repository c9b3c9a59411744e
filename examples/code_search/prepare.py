"""The base and tuned model directories of the demo and the benchmarks."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from examples.code_search.data import load_corpus
from examples.code_search.encoder import load, packaged_model, save
from examples.code_search.settings import Settings, ignore
from examples.code_search.train import train

if TYPE_CHECKING:
    from pathlib import Path

    from examples.code_search.data import Corpus
    from examples.code_search.settings import Advance

WEIGHTS = "model.safetensors"
STAMP = "trained.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A base, what it was tuned to, and the functions that neither has seen.

    `reused` means that an earlier run trained it; `seconds` is the time of that training.
    """

    base: Path
    tuned: Path
    corpus: Corpus
    settings: Settings
    seconds: float
    reused: bool


def prepare(
    folder: Path, *, settings: Settings | None = None, advance: Advance = ignore
) -> Prepared:
    """Write FOLDER/base and FOLDER/tuned; train only if there is no model of an earlier run.

    A trained model is reused if data, settings, base and the bytes of both files match the record
    in FOLDER/trained.json.
    """
    settings = settings or Settings()
    corpus = load_corpus(seed=settings.seed)
    base, tuned, stamp = folder / "base", folder / "tuned", folder / STAMP
    wanted = {
        "data": corpus.digest,
        "settings": asdict(settings),
        "base": _sha256(packaged_model() / WEIGHTS),
    }
    seconds = _seconds_of_earlier_run(folder, wanted)
    reused = seconds is not None
    if seconds is None:
        stamp.unlink(missing_ok=True)
        _copy_base(base)
        seconds = _tune(base, tuned, corpus=corpus, settings=settings, advance=advance)
        # The record is written last, so that an interrupted run leaves nothing to reuse.
        document = {**wanted, "tuned": _sha256(tuned / WEIGHTS), "seconds": seconds}
        stamp.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return Prepared(base, tuned, corpus, settings, seconds, reused)


def _seconds_of_earlier_run(folder: Path, wanted: dict[str, Any]) -> float | None:
    """The seconds of an earlier run's training with the same inputs; None if there is none."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        found = {**wanted, "tuned": _sha256(folder / "tuned" / WEIGHTS), "seconds": 0.0}
        same = _sha256(folder / "base" / WEIGHTS) == wanted["base"]
        return float(stamp["seconds"]) if same and {**stamp, "seconds": 0.0} == found else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _copy_base(base: Path) -> None:
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(packaged_model(), base)


def _tune(
    base: Path, tuned: Path, *, corpus: Corpus, settings: Settings, advance: Advance
) -> float:
    started = time.monotonic()
    encoder = load(base)
    train(encoder, corpus.train, settings=settings, advance=advance)
    shutil.rmtree(tuned, ignore_errors=True)
    save(encoder, tuned, tokenizer_of=base)
    return round(time.monotonic() - started, 1)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
