"""What a fuzz target is, and what becomes of an input."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skillpm.errors import SkillpmError


@dataclass(frozen=True)
class Target:
    """A parser by name: what it does with bytes, and valid inputs to start from."""

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


@cache
def scratch() -> Path:
    """A folder of this process for parsers that read files."""
    return Path(tempfile.mkdtemp(prefix="skillpm-fuzz-"))


def write_input(data: bytes, name: str = "input") -> Path:
    path = scratch() / name
    path.write_bytes(data)
    return path


def outcome_of(target: Target, data: bytes) -> str:
    """`read`, or the kind of the error by which it is refused. Lets everything else through."""
    try:
        target.run(data)
    except SkillpmError as problem:
        if problem.kind == "internal":
            raise
        return problem.kind
    return "read"
