"""A fuzz target, and the outcome of an input."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skillpm.errors import SkillpmError


@dataclass(frozen=True)
class Target:
    """A named parser: a function of bytes, and valid inputs as seeds."""

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
    """`read`, or the kind of the error that refuses the input. Other exceptions propagate."""
    try:
        target.run(data)
    except SkillpmError as problem:
        if problem.kind == "internal":
            raise
        return problem.kind
    return "read"
