"""Where the models and results are, and the repository's code as a key; imports no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import skillpm

CACHE = Path(__file__).parents[1] / ".cache" / "llm"
MODEL = "model"
WEIGHTS = "model.safetensors"
ROWS, CALIBRATION = "rows.safetensors", "calibration.jsonl"


def model(cache: Path, name: str) -> Path:
    """The model folder of the base or of a fine-tune."""
    return cache / name / MODEL


def calibration(cache: Path, task: str) -> Path:
    """The calibration text of a task, for `pack --calibration`."""
    return cache / f"data-{task}" / CALIBRATION


def code_digest() -> str:
    """The SHA-256 of skillpm's source: a result of other code is measured again."""
    state = hashlib.sha256()
    root = Path(skillpm.__file__).parent
    for path in sorted(root.rglob("*.py")):
        state.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return state.hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
