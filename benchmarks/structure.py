"""The size and the shape of the source: files, functions, imports between packages, vocabulary.

`python -m benchmarks.structure [TREE] [--json]` reads a checkout, by default this one. To compare
with an earlier commit: `git worktree add /tmp/before COMMIT`, then pass `/tmp/before`.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import runpy
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HERE = Path(__file__).resolve().parents[1]
SHIPPED = ("skillpm", "registry", "migrations")
PARTS = (*SHIPPED, "tests", "benchmarks", "examples")
VOCABULARY = "tests/test_plain_english.py"
GRAPH = """
import json, sys
import grimp
names = sys.argv[1:]
graph = grimp.build_graph(*names, cache_dir=None)
modules = sorted(graph.modules)
pairs = [(a, b) for a in modules for b in sorted(graph.find_modules_directly_imported_by(a))]
print(json.dumps({"modules": modules, "imports": pairs}))
"""
"""Run in a process of its own, so that grimp finds the packages of the given tree."""


@dataclass(frozen=True)
class PartSize:
    """The Python files of a folder. Lengths of functions are in lines, from `def` to the end."""

    files: int
    lines: int
    longest_file: int
    functions: int
    median: float
    p90: float
    longest: int
    longest_function: str


@dataclass(frozen=True)
class Shape:
    """The structure of a checkout.

    A room is a package or module directly below `skillpm` or the registry's package. An arrow is
    an ordered pair of rooms of which the first imports the second; `imports` counts the imports
    of modules behind the arrows. `cycles` lists modules in a cycle of imports, or between two.
    """

    parts: Mapping[str, PartSize]
    rooms: int
    arrows: int
    imports: int
    cycles: tuple[str, ...]
    room_cycles: tuple[str, ...]
    repeated_classes: Mapping[str, int]
    banned_words: Mapping[str, int]
    untyped_dicts: int
    untyped_flags: int


def python_files(folder: Path) -> list[Path]:
    """All Python files below a folder, sorted; none if the folder does not exist."""
    return sorted(folder.rglob("*.py"))


def part_size(folder: Path) -> PartSize:
    """Count files, lines and functions below a folder."""
    texts = {path: path.read_text(encoding="utf-8") for path in python_files(folder)}
    lengths: list[tuple[int, str]] = []
    for path, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(folder.parent)}:{node.name}"
                lengths.append(((node.end_lineno or node.lineno) - node.lineno + 1, place))
    lines = [len(text.splitlines()) for text in texts.values()]
    counts = [count for count, _ in lengths] or [0]
    longest, name = max(lengths, default=(0, "-"))
    p90 = quantiles(counts, n=10)[8] if len(counts) > 1 else counts[0]
    size = (len(texts), sum(lines), max(lines, default=0), len(lengths))
    return PartSize(*size, median(counts), p90, longest, name)


def packages_of(tree: Path) -> dict[str, Path]:
    """The import packages of a checkout, each with the folder that must be on the path."""
    inner = tree / "registry" / "skillpm_registry"
    registry = {"skillpm_registry": inner.parent} if inner.is_dir() else {"registry": tree}
    return {"skillpm": tree, **registry}


def import_graph(tree: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """All modules of a checkout's packages, and the pairs of importing and imported module."""
    packages = packages_of(tree)
    path = os.pathsep.join(str(folder) for folder in dict.fromkeys(packages.values()))
    done = subprocess.run(
        [sys.executable, "-P", "-c", GRAPH, *packages],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return found["modules"], [(first, second) for first, second in found["imports"]]


def room_of(module: str) -> str:
    """The room of a module: `skillpm.flows` for `skillpm.flows.graft.plan`."""
    return ".".join(module.split(".")[:2])


def in_cycles(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The nodes that remain after removing, repeatedly, those without predecessor or successor."""
    edges = {pair for pair in pairs if pair[0] != pair[1]}
    while True:
        sources, targets = {first for first, _ in edges}, {second for _, second in edges}
        kept = {(a, b) for a, b in edges if a in targets and b in sources}
        if kept == edges:
            return tuple(sorted(sources))
        edges = kept


def repeated_classes(tree: Path) -> dict[str, int]:
    """Names of classes that the shipped packages define more than once, with the count."""
    counts: dict[str, int] = defaultdict(int)
    for part in SHIPPED:
        for path in python_files(tree / part):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    counts[node.name] += 1
    return {name: count for name, count in sorted(counts.items()) if count > 1}


def banned_words(tree: Path) -> dict[str, int]:
    """The number of banned phrases in each part of a checkout, by the rules of this checkout."""
    rules: dict[str, Any] = runpy.run_path(str(HERE / VOCABULARY))
    counts: dict[str, int] = {}
    for part in (*PARTS, "docs"):
        suffix = "*.md" if part == "docs" else "*.py"
        counts[part] = 0
        for path in sorted((tree / part).rglob(suffix)):
            if path == tree / VOCABULARY:
                continue
            text = path.read_text(encoding="utf-8")
            code = path.suffix == ".py"
            passages = rules["passages_of_python"](text) if code else iter([(1, text)])
            place = str(path.relative_to(tree))
            allowed = rules["ALLOWED"]
            for finding in rules["findings_in"](place, passages):
                counts[part] += not any(finding.is_allowed_by(each) for each in allowed)
    return counts


def shape(tree: Path) -> Shape:
    """Read a checkout. Takes some seconds."""
    modules, pairs = import_graph(tree)
    across = [(room_of(a), room_of(b)) for a, b in pairs if room_of(a) != room_of(b)]
    commands = "\n".join(
        path.read_text(encoding="utf-8") for path in python_files(tree / "skillpm" / "cli")
    )
    rooms = {room_of(module) for module in modules if "." in module}
    return Shape(
        parts={part: part_size(tree / part) for part in PARTS},
        rooms=len(rooms),
        arrows=len(set(across)),
        imports=len(across),
        cycles=in_cycles(pairs),
        room_cycles=in_cycles(across),
        repeated_classes=repeated_classes(tree),
        banned_words=banned_words(tree),
        untyped_dicts=len(re.findall(r"\bdict\[str, Any\]", commands)),
        untyped_flags=len(re.findall(r"\*\*\w+: Any\b", commands)),
    )


def table_of(found: Shape) -> str:
    """The figures in Markdown."""
    heads = ("files", "lines", "longest file", "functions", "median", "p90", "longest")
    lines = [f"| part | {' | '.join(heads)} | |", f"|---|{'---:|' * len(heads)}---|"]
    for part, size in found.parts.items():
        counts = (size.files, size.lines, size.longest_file, size.functions)
        lengths = (f"{size.median:g}", f"{size.p90:g}", size.longest)
        cells = [f"{value:,}" if isinstance(value, int) else value for value in (*counts, *lengths)]
        lines.append(f"| {part} | {' | '.join(cells)} | {size.longest_function} |")
    repeated = ", ".join(f"{name} ({n})" for name, n in found.repeated_classes.items())
    words = ", ".join(f"{part} {count}" for part, count in found.banned_words.items())
    facts = {
        "rooms": found.rooms,
        "arrows between rooms": found.arrows,
        "imports between rooms": found.imports,
        "modules in cycles": ", ".join(found.cycles) or 0,
        "rooms in cycles": ", ".join(found.room_cycles) or 0,
        "class names defined more than once": f"{len(found.repeated_classes)} {repeated}".strip(),
        "banned words": words,
        "`dict[str, Any]` in cli": found.untyped_dicts,
        "`**…: Any` in cli": found.untyped_flags,
    }
    lines += ["", "| figure | |", "|---|---|", *(f"| {name} | {v} |" for name, v in facts.items())]
    return "\n".join(lines)


def main() -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, nargs="?", default=HERE, help="a checkout")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    asked = parser.parse_args()
    found = shape(asked.tree.resolve())
    print(json.dumps(asdict(found), indent=2) if asked.json else table_of(found))


if __name__ == "__main__":
    main()
