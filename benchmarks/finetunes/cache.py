"""Folders that are either complete, with a record of their inputs, or absent."""

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
    """A folder, the seconds its work took, and whether an earlier run made it."""

    folder: Path
    seconds: float
    reused: bool


def made(folder: Path, wanted: dict[str, Any], work: Callable[[Path], None]) -> Made:
    """Reuse FOLDER if it was made from `wanted`, else have `work` fill a new folder.

    The new folder is staged beside FOLDER until it is complete. An interrupted run leaves it there,
    and `work` can continue from it if `wanted` is unchanged.
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
    """The inputs of FOLDER and the seconds its work took; None if it is absent."""
    try:
        document = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and {"from", "seconds"} <= set(document) else None


def sha256(path: Path) -> str:
    """The SHA-256 digest of a file in hexadecimal."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _begin(unfinished: Path, asked: dict[str, Any]) -> float:
    """The seconds that an interrupted run of the same work took, in a folder kept or new."""
    found = record(unfinished)
    if found is None or found["from"] != asked:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _write(unfinished, {"from": asked, "seconds": 0.0})
        return 0.0
    return float(found["seconds"])


def _write(folder: Path, document: dict[str, Any]) -> None:
    (folder / RECORD).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
