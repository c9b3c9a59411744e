"""Texts of subjects, and general text, that every machine with the project's environment has.

A subject is a part of a library, with the docstrings of its functions and classes. General text is
prose about various topics: Python's reference topics, and descriptions of installed packages.
"""

from __future__ import annotations

import ast
import hashlib
import sysconfig
import warnings
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from benchmarks.routing.subjects import FRESH, SUBJECTS

GENERAL = "general"
LEAST = 40
SHORTEST = 400
LONGEST = 600
MOST = 64
"""Texts of one subject: enough for examples and queries."""
MOST_GENERAL = 480
PARTS = {**SUBJECTS, **FRESH}
SKIPPED = frozenset({"test", "tests", "testing", "_vendor", "idle_test", "__pycache__"})


def texts_of(subject: str) -> list[str]:
    """Up to `MOST` different texts of a subject, in the order of their SHA-256.

    Raises `FileNotFoundError` if the library is not installed.
    """
    found = {text for part in PARTS[subject] for text in _passages(part)}
    return sorted(found, key=_draw)[:MOST]


def general_texts() -> list[str]:
    """Up to `MOST_GENERAL` paragraphs of reference and description, in the order of SHA-256."""
    topics = Path(sysconfig.get_path("stdlib")) / "pydoc_data" / "topics.py"
    body = ast.parse(topics.read_text(encoding="utf-8")).body
    value = next(node.value for node in body if isinstance(node, ast.Assign))
    sources = [*ast.literal_eval(value).values()]
    descriptions: list[Any] = [one.metadata for one in distributions()]
    sources += [str(message.get_payload()) for message in descriptions]
    found = {part for text in sources for part in _prose(text)}
    return sorted(found, key=_draw)[:MOST_GENERAL]


def _passages(part: str) -> Iterator[str]:
    """Docstrings of one file in order, joined to passages; no text is in two of them."""
    root = _place(part)
    for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
        if SKIPPED & set(path.relative_to(root).parts):
            continue
        passage = ""
        for text in _docstrings(path):
            passage = f"{passage} {text}".strip()
            if len(passage) >= SHORTEST:
                yield passage[:LONGEST]
                passage = ""


def _docstrings(path: Path) -> Iterator[str]:
    documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, documented) else None
        if text and len(text) >= LEAST:
            yield _clean(text)


def _place(part: str) -> Path:
    for root in ("purelib", "platlib", "stdlib"):
        path = Path(sysconfig.get_path(root)) / part
        if path.exists():
            return path
    message = f"the router's subjects need `{part}`, which is not installed"
    raise FileNotFoundError(message)


def _clean(text: str) -> str:
    return " ".join(text.split())


def _prose(text: str) -> Iterator[str]:
    """Paragraphs of sentences, joined to passages."""
    passage = ""
    for part in map(_clean, text.split("\n\n")):
        letters = sum(one.isalpha() or one == " " for one in part)
        if len(part) >= LEAST and letters >= 0.85 * len(part):
            passage = f"{passage} {part}".strip()
        if len(passage) >= SHORTEST:
            yield passage[:LONGEST]
            passage = ""


def _draw(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
