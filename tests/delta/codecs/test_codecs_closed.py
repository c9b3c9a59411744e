"""The imports of codecs, and where the rest of the package may use their classes."""

import ast
import subprocess
import sys
from pathlib import Path

import skillpm
from skillpm.delta.codecs.table import CODECS
from skillpm.spec.exactness import EXACT, FACTORS


def test_codecs_do_not_import_torch() -> None:
    loaded = "import sys, skillpm.delta.codecs.table; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True)
    assert shown.stdout.strip() == b"False"


def _classes(folder: Path) -> set[str]:
    trees = (ast.parse(path.read_text("utf-8")) for path in folder.rglob("*.py"))
    return {
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }


def _tests_on(source: str, classes: set[str]) -> list[int]:
    """Return the lines with an `isinstance` or `issubclass` check for such a class."""
    lines: list[int] = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        if getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            inside = [n for argument in node.args[1:] for n in ast.walk(argument)]
            names = {getattr(n, "id", None) or getattr(n, "attr", None) for n in inside}
            lines += [node.lineno] if names & classes else []
    return lines


def test_class_check_search_finds_isinstance_calls() -> None:
    source = "isinstance(x, topk.TopKDecoder)\nisinstance(x, int | Factor)\nisinstance(x, str)\n"
    assert _tests_on(source, {"TopKDecoder", "Factor"}) == [1, 2]


def test_modules_outside_codecs_do_not_check_codec_classes() -> None:
    package = Path(skillpm.__file__).parent
    codecs = package / "delta" / "codecs"
    classes = _classes(codecs)
    assert {"TopKDecoder", "CodedGrid", "SparseEntries"} <= classes
    others = [path for path in package.rglob("*.py") if codecs not in path.parents]
    found = {str(path): _tests_on(path.read_text("utf-8"), classes) for path in others}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_exact_codecs_of_manifests_match_the_table() -> None:
    assert {name for name, codec in CODECS.items() if not codec.lossy} == EXACT
    assert [name for name, codec in CODECS.items() if codec.keeps_factors] == [FACTORS]
