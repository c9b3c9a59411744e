"""Asking for the facts of a model's architecture: the installed transformers, or the table.

transformers is asked in a process of its own, by the names of `model_type`s alone: nothing of a
stranger's folder is parsed by it, its code is never run, and a library that hangs is ended.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from skillpm.architecture.entries import UNKNOWN, ArchitectureEntry, facts_of, model_types
from skillpm.architecture.table import ArchitectureTable, parse_table, shipped_table
from skillpm.errors import SpecError
from skillpm.spec.manifest_parts import ArchitectureFacts

SECONDS = 300.0
"""What importing transformers and answering may take on a busy machine."""
TYPES = 16
"""Types that one config may name; those of the largest models have five."""
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)

AskFacts = Callable[[Mapping[str, Any]], ArchitectureFacts]
"""The facts of a model by its `config.json`."""


def ask_facts(config: Mapping[str, Any]) -> ArchitectureFacts:
    """The facts of a model by its `config.json`; `UNKNOWN` where its class is not known here.

    The table answers where it is of the installed transformers, or there is none installed; else
    transformers does, which takes seconds.
    """
    types = sorted(kind for kind in model_types(config) if _TYPE.fullmatch(kind))[:TYPES]
    if not types:
        return UNKNOWN
    table, installed = shipped_table(), _installed()
    known = set(types) <= table.architectures.keys()
    if installed is None or (known and table.library == installed):
        return _facts(config, table)
    answer = _ask_library(types)
    return _facts(config, table if answer is None else answer)


def known_libraries() -> frozenset[str]:
    """The libraries, with their versions, whose answer `ask_facts` may give here."""
    return frozenset({_installed() or "", shipped_table().library} - {""})


def _facts(config: Mapping[str, Any], table: ArchitectureTable) -> ArchitectureFacts:
    entries: Mapping[str, ArchitectureEntry] = table.architectures
    return facts_of(config, entries.get, table.library)


def _installed() -> str | None:
    try:
        return f"transformers {version('transformers')}"
    except PackageNotFoundError:
        return None


def _ask_library(types: list[str]) -> ArchitectureTable | None:
    """What the installed transformers says of these types; None where it cannot be asked."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "skillpm.architecture.library", *types],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
        return parse_table(done.stdout, "the answer of transformers")
    except (OSError, subprocess.SubprocessError, SpecError):
        return None
