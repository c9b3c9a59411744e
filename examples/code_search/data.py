"""Docstrings and function bodies of the standard library, split by module."""

from __future__ import annotations

import ast
import hashlib
import json
import sysconfig
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from examples.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HELD_OUT_FUNCTIONS = 500
# No module may be more than a tenth of the held-out half, or one module would dominate it.
LARGEST_HELD_OUT_MODULE = 50
FEWEST_WORDS = 3
FEWEST_NODES = 8
# Tests repeat each other's docstrings, and installed packages are not the standard library.
SKIPPED_FOLDERS = frozenset({"dist-packages", "idle_test", "site-packages", "test", "tests"})


@dataclass(frozen=True, slots=True)
class Function:
    """A documented function: its docstring's first paragraph and its body without docstring."""

    module: str
    name: str
    docstring: str
    body: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """Functions to train on and functions held out; no module has both.

    `digest` is the SHA-256 of both lists, in order. Another patch release of Python has another
    standard library, so figures are comparable only if the digests are equal.
    """

    train: tuple[Function, ...]
    held_out: tuple[Function, ...]
    digest: str


def load_corpus(*, seed: int = 0) -> Corpus:
    """Read the running Python's standard library; the result depends on its source and the seed.

    Takes a few seconds. Raises `DemoError` if Python was installed without its source files.
    """
    functions = _unique(_read(Path(sysconfig.get_path("stdlib"))))
    chosen = _held_out_modules(functions, seed=seed)
    train = tuple(function for function in functions if function.module not in chosen)
    held_out = tuple(function for function in functions if function.module in chosen)
    if len(held_out) < HELD_OUT_FUNCTIONS or len(train) < len(held_out):
        message = f"too few documented functions in the standard library: {len(functions)}"
        raise DemoError(message)
    return Corpus(train=train, held_out=held_out, digest=_digest(train, held_out))


def _read(root: Path) -> Iterator[Function]:
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if SKIPPED_FOLDERS.isdisjoint(parts):
            # The split is by top-level name, because files of one package are too similar to be on
            # both sides.
            yield from _documented(path.read_bytes(), module=parts[0])


def _documented(source: bytes, *, module: str) -> Iterator[Function]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        # Templates that only look like Python are not useful results.
        return
    for node in _definitions(tree):
        docstring = ast.get_docstring(node) or ""
        paragraph = " ".join(docstring.split("\n\n")[0].split())
        body = node.body[1:]
        size = sum(1 for statement in body for _ in ast.walk(statement))
        if len(paragraph.split()) >= FEWEST_WORDS and size >= FEWEST_NODES:
            code = "\n".join(map(ast.unparse, body))
            yield Function(module=module, name=node.name, docstring=paragraph, body=code)


def _definitions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods in source order, without those defined inside other functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        else:
            yield from _definitions(node)


def _unique(functions: Iterable[Function]) -> list[Function]:
    """Drop repeats: a copied function could be in both halves, and has several right answers."""
    docstrings: set[str] = set()
    bodies: set[str] = set()
    kept = []
    for function in functions:
        if function.docstring not in docstrings and function.body not in bodies:
            kept.append(function)
        docstrings.add(function.docstring)
        bodies.add(function.body)
    return kept


def _held_out_modules(functions: Iterable[Function], *, seed: int) -> frozenset[str]:
    """Whole modules in an order drawn by SHA-256, each added if it still fits."""
    sizes = Counter(function.module for function in functions)
    chosen: set[str] = set()
    room = HELD_OUT_FUNCTIONS
    for module in sorted(sizes, key=lambda name: _draw(name, seed=seed)):
        if sizes[module] <= min(room, LARGEST_HELD_OUT_MODULE):
            chosen.add(module)
            room -= sizes[module]
    return frozenset(chosen)


def _draw(module: str, *, seed: int) -> bytes:
    return hashlib.sha256(f"held-out/{seed}/{module}".encode()).digest()


def _digest(*halves: tuple[Function, ...]) -> str:
    document = [[asdict(function) for function in half] for half in halves]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
