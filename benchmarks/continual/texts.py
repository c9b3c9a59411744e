"""Five kinds of text that a router can tell apart, and the base's own kind."""

from __future__ import annotations

import ast
import json
import sys
import sysconfig
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.finetunes import corpora
from benchmarks.finetunes.corpora import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Fewer packages than for the fine-tunes: a stage sees a quarter of a megabyte of each kind.
DOCUMENTED = ("numpy", "sqlalchemy")
COMPILED = ("alembic", "pydantic")
RECORDED = ("numpy", "sqlalchemy")
# Python code that the base has not seen: it learnt the standard library.
GENERAL = ("click", "rich", "jinja2")
BLOCK = 64
SAMPLES = 40
LARGEST = 16_000
TRAIN_BYTES, SIDE_BYTES = 1_500_000, 150_000


def english() -> Iterator[Document]:
    """Python's reference topics, and the prose of the docstrings of two libraries."""
    topics = Path(sysconfig.get_path("stdlib")) / "pydoc_data" / "topics.py"
    for topic, text in sorted(ast.literal_eval(corpora.dictionary(topics)).items()):
        yield Document(f"pydoc_data/{topic}", text)
    for path, name in corpora.sources(DOCUMENTED):
        if text := corpora.prose(path):
            yield Document(name, text)


def bytecode() -> Iterator[Document]:
    """Bytecode that this Python compiles two libraries to."""
    for path, name in corpora.sources(COMPILED):
        code = compile(corpora.read(path), name, "exec", dont_inherit=True, optimize=2)
        if text := "\n\n".join(corpora.listing(code)):
            yield Document(name, text)


def characters() -> Iterator[Document]:
    """The Unicode character table of this Python, 64 characters per document."""
    for start in range(0, sys.maxunicode, BLOCK):
        lines = []
        for point in range(start, start + BLOCK):
            name = unicodedata.name(chr(point), "")
            if name and "IDEOGRAPH" not in name and "SYLLABLE" not in name:
                kind = unicodedata.category(chr(point))
                lines.append(f"{point:04X};{name};{kind};{unicodedata.bidirectional(chr(point))}")
        if lines:
            yield Document(f"{start:06X}", "\n".join(lines))


def records() -> Iterator[Document]:
    """JSON records of the functions that two libraries define."""
    for path, name in corpora.sources(RECORDED):
        found = [
            json.dumps(_record(node), indent=1)
            for node in ast.walk(ast.parse(path.read_bytes()))
            if isinstance(node, ast.FunctionDef)
        ]
        if found:
            yield Document(name, "\n".join(found))


def general() -> Iterator[Document]:
    """Python sources of three libraries: of the base's kind, but not in its training data."""
    for path, name in corpora.sources(GENERAL):
        yield Document(name, corpora.read(path))


KINDS: dict[str, Callable[[], Iterator[Document]]] = {
    "headers": corpora.headers,
    "english": english,
    "bytecode": bytecode,
    "characters": characters,
    "records": records,
}
ALL = {**KINDS, "general": general, "background": corpora.standard_library}


def split(kind: str) -> corpora.Split:
    """Assign each document to a side by the SHA-256 of its name, a tenth each for two of them."""
    line = sorted(corpora.unique(ALL[kind]()), key=lambda one: corpora.draw(kind, one))
    tenth = len(line) // 10
    return corpora.Split(
        train=corpora.first(line[2 * tenth :], TRAIN_BYTES, LARGEST),
        calibration=corpora.first(line[:tenth], SIDE_BYTES, LARGEST),
        held_out=corpora.first(line[tenth : 2 * tenth], SIDE_BYTES, LARGEST),
    )


def _record(node: ast.FunctionDef) -> dict[str, Any]:
    asked = node.args
    return {
        "name": node.name,
        "line": node.lineno,
        "parameters": [
            {"name": one.arg, "type": ast.unparse(one.annotation) if one.annotation else None}
            for one in [*asked.posonlyargs, *asked.args, *asked.kwonlyargs]
        ],
        "defaults": [ast.unparse(one)[:SAMPLES] for one in asked.defaults],
        "returns": ast.unparse(node.returns) if node.returns else None,
        "decorators": [ast.unparse(one)[:SAMPLES] for one in node.decorator_list],
    }
