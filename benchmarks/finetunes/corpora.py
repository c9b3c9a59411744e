"""Four kinds of text that every machine with the project's environment has."""

from __future__ import annotations

import ast
import dis
import hashlib
import importlib.util
import inspect
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from examples.code_search.data import SKIPPED_FOLDERS

# Character tables are not useful as prose, and the topics are part of the English text below.
SKIPPED_PACKAGES = frozenset({"encodings", "pydoc_data", "lib2to3", "config"})
# Only the beginning of a long file is used, so that one file cannot fill a side.
LARGEST_TRAINED = 64_000
LARGEST_MEASURED = 16_000
TRAIN_BYTES = 5_000_000
CALIBRATION_BYTES = 384_000
HELD_OUT_BYTES = 400_000
LONGEST_ARGUMENT = 80
DOCUMENTED = ("numpy", "sqlalchemy", "torch")
COMPILED = ("alembic", "pydantic", "sqlalchemy")


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text; `name` is the same on every machine and determines the file's side."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Split:
    """Three sides of one kind of text; no file is on two of them."""

    train: tuple[Document, ...]
    calibration: tuple[Document, ...]
    held_out: tuple[Document, ...]

    def digest(self) -> str:
        """The SHA-256 of all texts; another release of a package gives another digest."""
        sides = (self.train, self.calibration, self.held_out)
        return digest(document for side in sides for document in side)


def digest(documents: Iterator[Document] | tuple[Document, ...]) -> str:
    """The SHA-256 over names and texts, in order."""
    state = hashlib.sha256()
    for document in documents:
        for part in (document.name, document.text):
            data = part.encode()
            state.update(len(data).to_bytes(8, "little") + data)
    return f"sha256:{state.hexdigest()}"


def split(kind: str) -> Split:
    """Read the documents of `kind` and divide them as `divide` does. Takes a few seconds."""
    return divide(kind, KINDS[kind]())


def divide(kind: str, documents: Iterator[Document]) -> Split:
    """Assign each document to a side by the SHA-256 of its kind and name.

    A tenth of the files is for calibration and a tenth held out, each cut to a size that takes
    seconds to process.
    """
    line = sorted(unique(documents), key=lambda document: draw(kind, document))
    tenth = len(line) // 10
    return Split(
        train=first(line[2 * tenth :], TRAIN_BYTES, LARGEST_TRAINED),
        calibration=first(line[:tenth], CALIBRATION_BYTES, LARGEST_MEASURED),
        held_out=first(line[tenth : 2 * tenth], HELD_OUT_BYTES, LARGEST_MEASURED),
    )


def standard_library() -> Iterator[Document]:
    """The running Python's own sources without its tests, which train the base."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if SKIPPED_FOLDERS.isdisjoint(parts) and parts[0] not in SKIPPED_PACKAGES:
            yield Document(path.relative_to(root).as_posix(), read(path))


def headers() -> Iterator[Document]:
    """C and C++ headers that ship with torch, without generated ones."""
    root = _package("torch") / "include"
    for path in sorted([*root.rglob("*.h"), *root.rglob("*.hpp"), *root.rglob("*.cuh")]):
        name = path.relative_to(root).as_posix()
        if not name.startswith("ATen/ops/") and "@" + "generated" not in read(path)[:400]:
            yield Document(name, read(path))


def topics() -> Iterator[Document]:
    """Python's reference topics."""
    texts = ast.literal_eval(
        dictionary(Path(sysconfig.get_path("stdlib")) / "pydoc_data" / "topics.py")
    )
    for topic, text in sorted(texts.items()):
        yield Document(f"pydoc_data/{topic}", text)


def english() -> Iterator[Document]:
    """Python's reference topics, and the prose of the docstrings of three libraries."""
    yield from topics()
    for path, name in sources(DOCUMENTED):
        if text := prose(path):
            yield Document(name, text)


def bytecode() -> Iterator[Document]:
    """Bytecode that this Python compiles three libraries to."""
    for path, name in sources(COMPILED):
        code = compile(read(path), name, "exec", dont_inherit=True, optimize=2)
        if text := "\n\n".join(listing(code)):
            yield Document(name, text)


KINDS: dict[str, Callable[[], Iterator[Document]]] = {
    "headers": headers,
    "english": english,
    "bytecode": bytecode,
}


def _package(name: str) -> Path:
    """The folder of an installed package, which is not imported."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        message = f"the fine-tunes need the sources of `{name}`, which is not installed"
        raise FileNotFoundError(message)
    return Path(found.submodule_search_locations[0])


def sources(packages: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for package in packages:
        root = _package(package)
        for path in sorted(root.rglob("*.py")):
            inside = path.relative_to(root)
            if not {"test", "tests", "testing"} & set(inside.parts):
                yield path, f"{package}/{inside.as_posix()}"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def dictionary(path: Path) -> ast.expr:
    """The value of the only assignment in a module."""
    return next(node.value for node in ast.parse(read(path)).body if isinstance(node, ast.Assign))


def prose(path: Path) -> str:
    """The docstrings of a module without their examples, tables and signatures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(path.read_bytes())
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    texts = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented))
    paragraphs = (part for text in texts if text for part in text.split("\n\n"))
    return "\n\n".join(part for part in paragraphs if _is_prose(part))


def _is_prose(paragraph: str) -> bool:
    return ">>>" not in paragraph and "::" not in paragraph and len(paragraph.split()) >= 8


def listing(code: CodeType) -> Iterator[str]:
    """One block per function, outer ones first: its name, then one instruction per line."""
    lines = [
        f"{instruction.opname} {_argument(instruction)}".strip()
        for instruction in dis.get_instructions(code)
        if instruction.opname not in {"CACHE", "RESUME", "PRECALL"}
    ]
    yield "\n".join([f"{code.co_qualname}:", *lines])
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from listing(constant)


def _argument(instruction: dis.Instruction) -> str:
    """The argument as dis shows it, without addresses and orders that differ between runs."""
    if inspect.iscode(instruction.argval):
        return "code"
    if isinstance(instruction.argval, frozenset):
        return f"frozenset {sorted(map(repr, instruction.argval))}"[:LONGEST_ARGUMENT]
    return "" if instruction.arg is None else instruction.argrepr[:LONGEST_ARGUMENT]


def unique(documents: Iterator[Document]) -> Iterator[Document]:
    """Drop empty files and copies, which could end up on both sides."""
    seen: set[str] = set()
    for document in documents:
        if document.text.strip() and document.text not in seen:
            seen.add(document.text)
            yield document


def draw(kind: str, document: Document) -> bytes:
    return hashlib.sha256(f"{kind}/{document.name}".encode()).digest()


def first(line: list[Document], size: int, largest: int) -> tuple[Document, ...]:
    """The beginnings of the first documents, up to `size` bytes."""
    taken: list[Document] = []
    for document in line:
        text = document.text.encode()[: min(largest, size)].decode(errors="ignore")
        if not text:
            break
        size -= len(text.encode())
        taken.append(Document(document.name, text))
    return tuple(taken)
