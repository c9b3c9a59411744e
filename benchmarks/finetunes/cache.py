"""Folders that are there whole, with the record of what they were made from, or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORD = "made.json"
UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class Made:
    """A folder, how long it once took, and whether an earlier run made it."""

    folder: Path
    seconds: float
    reused: bool


def made(folder: Path, wanted: dict[str, Any], work: Callable[[Path], None]) -> Made:
    """Take FOLDER up again if it was made from `wanted`, else have `work` fill a new one.

    The new one lies beside FOLDER until it is whole, and stays there when the run is cut off, so
    that `work` can go on from what it left if `wanted` is the same then.
    """
    asked = json.loads(json.dumps(wanted))
    found = record(folder)
    if found is not None and found["from"] == asked:
        return Made(folder, float(found["seconds"]), reused=True)
    unfinished = folder.with_name(folder.name + UNFINISHED)
    spent = _begin(unfinished, asked)
    started = time.monotonic()
    try:
        work(unfinished)
    finally:
        seconds = round(spent + time.monotonic() - started, 1)
        _write(unfinished, {"from": asked, "seconds": seconds})
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return Made(folder, seconds, reused=False)


def record(folder: Path) -> dict[str, Any] | None:
    """What FOLDER was made from and in how many seconds; None if it is not there."""
    try:
        document = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and {"from", "seconds"} <= set(document) else None


def sha256(path: Path) -> str:
    """The digest of a file's bytes."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _begin(unfinished: Path, asked: dict[str, Any]) -> float:
    """The seconds that a cut-off run of the same work has spent, in a folder kept or new."""
    found = record(unfinished)
    if found is None or found["from"] != asked:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _write(unfinished, {"from": asked, "seconds": 0.0})
        return 0.0
    return float(found["seconds"])


def _write(folder: Path, document: dict[str, Any]) -> None:
    (folder / RECORD).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
