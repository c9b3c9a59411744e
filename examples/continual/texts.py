"""Ten kinds of text that every machine with this project's environment has."""

from __future__ import annotations

import ast
import dis
import io
import re
import sysconfig
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TRAIN_BYTES = 160_000
HELD_OUT_BYTES = 12_000
LARGEST = 8_000
EVERY = 10
SMALL = 10_000
SKIPPED = frozenset({"site-packages", "test", "tests", "encodings", "lib2to3", "idlelib"})


@dataclass(frozen=True, slots=True)
class Texts:
    """One kind of text: a training and a held-out side; no file is on both."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def read(kind: str) -> Texts:
    """The beginnings of files of one kind, every tenth held out. Takes at most a second."""
    train: list[str] = []
    held_out: list[str] = []
    room = {True: HELD_OUT_BYTES, False: TRAIN_BYTES}
    for number, text in enumerate(_distinct(KINDS[kind]())):
        measured = number % EVERY == 0
        part = text[: min(LARGEST, room[measured])]
        room[measured] -= len(part)
        if part:
            (held_out if measured else train).append(part)
        if not any(room.values()):
            break
    return Texts(tuple(train), tuple(held_out))


def _distinct(texts: Iterable[str]) -> Iterator[str]:
    seen = set()
    for text in texts:
        if len(text) > 200 and text not in seen:
            seen.add(text)
            yield text


def sources() -> Iterator[str]:
    """Small modules of Python's own library, which train the base."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if SKIPPED.isdisjoint(parts) and path.stat().st_size < SMALL:
            yield path.read_text(encoding="utf-8", errors="replace")


def _headers() -> Iterator[str]:
    for path in sorted((_packages() / "torch" / "include" / "c10").rglob("*.h")):
        yield path.read_text(encoding="utf-8", errors="replace")


def _stubs() -> Iterator[str]:
    for path in sorted((_packages() / "numpy").rglob("*.pyi")):
        yield path.read_text(encoding="utf-8", errors="replace")


def _prose() -> Iterator[str]:
    topics = Path(sysconfig.get_path("stdlib")) / "pydoc_data" / "topics.py"
    tree = ast.parse(topics.read_bytes())
    found = next(node.value for node in ast.walk(tree) if isinstance(node, ast.Assign))
    for _, text in sorted(ast.literal_eval(found).items()):
        yield re.sub(r"\n\n\n+", "\n\n", text)


def _bytecode() -> Iterator[str]:
    for text in sources():
        lines = dis.get_instructions(compile(text, "module", "exec", optimize=2))
        names = (f"{one.opname} {'' if one.arg is None else one.argrepr[:40]}" for one in lines)
        yield re.sub(r"0x[0-9a-f]+", "0x", "\n".join(name.strip() for name in names))


def _syntax() -> Iterator[str]:
    for text in sources():
        tree = ast.parse(text)
        for node in tree.body[1:6]:
            yield ast.dump(node, indent=1)


def _tokens() -> Iterator[str]:
    for text in sources():
        found = tokenize.generate_tokens(io.StringIO(text).readline)
        yield "\n".join(f"{tokenize.tok_name[one.type]} {one.string!r}" for one in found)


def _named(name: str) -> Callable[[], Iterator[str]]:
    def found() -> Iterator[str]:
        for path in sorted(_packages().glob(f"*.dist-info/{name}")):
            yield path.read_text(encoding="utf-8", errors="replace")

    return found


def _licences() -> Iterator[str]:
    folder = _packages()
    for path in sorted([*folder.glob("*.dist-info/LICEN*"), *folder.rglob("licenses/LICEN*")]):
        if path.is_file():
            yield path.read_text(encoding="utf-8", errors="replace")


def _dumps() -> Iterator[str]:
    for text in sources():
        data = compile(text, "module", "exec").co_code
        rows = (data[start : start + 16] for start in range(0, min(len(data), 2000), 16))
        yield "\n".join(f"{16 * n:08x}  {row.hex(' ')}" for n, row in enumerate(rows))


def _packages() -> Path:
    return Path(sysconfig.get_path("purelib"))


KINDS: dict[str, Callable[[], Iterator[str]]] = {
    "headers": _headers,
    "prose": _prose,
    "bytecode": _bytecode,
    "syntax": _syntax,
    "stubs": _stubs,
    "tokens": _tokens,
    "records": _named("RECORD"),
    "licences": _licences,
    "metadata": _named("METADATA"),
    "dumps": _dumps,
}
