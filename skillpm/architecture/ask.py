"""Find the facts of a model's architecture, from the installed transformers or a shipped table.

transformers runs in a separate process with a time limit and gets only names of `model_type`s. So
it neither parses files of an untrusted folder nor runs their code.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from skillpm.architecture.entries import UNKNOWN, ArchitectureEntry, facts_of, model_types
from skillpm.architecture.table import ArchitectureTable, parse_table, shipped_table
from skillpm.errors import SpecError
from skillpm.libraries import installed
from skillpm.spec.manifest_parts import ArchitectureFacts

SECONDS = 300.0
"""The time limit for importing transformers and answering, on a busy machine."""
TYPES = 16
"""The most types that are read from one config. The largest configs have five."""
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)

AskFacts = Callable[[Mapping[str, Any]], ArchitectureFacts]
"""Returns the facts of the model with this `config.json`."""


def ask_facts(config: Mapping[str, Any]) -> ArchitectureFacts:
    """The facts of the model with this `config.json`; `UNKNOWN` if its class is not known.

    Uses the shipped table if it was made with the installed transformers, or if transformers is not
    installed. Otherwise asks transformers, which takes seconds.
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
    """The libraries, with versions, from which `ask_facts` can have its answers."""
    return frozenset({_installed() or "", shipped_table().library} - {""})


def _facts(config: Mapping[str, Any], table: ArchitectureTable) -> ArchitectureFacts:
    entries: Mapping[str, ArchitectureEntry] = table.architectures
    return facts_of(config, entries.get, table.library)


def _installed() -> str | None:
    found = installed("transformers")
    return found and f"transformers {found}"


def _ask_library(types: list[str]) -> ArchitectureTable | None:
    """The answer of the installed transformers about these types; None if it fails."""
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
