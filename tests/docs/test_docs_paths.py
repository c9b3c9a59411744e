"""Source paths, modules and make targets that the documentation names exist."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = tuple(
    sorted(
        str(page.relative_to(REPOSITORY))
        for page in (
            *REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "Makefile",
        )
    )
)  # fmt: skip
_TREES = "skillpm|registry|migrations|tests|benchmarks|examples|scripts"
_SOURCE = re.compile(rf"(?<![\w./-])(?<!\]\()((?:{_TREES})/[\w./-]*[\w/])")
_FILE = re.compile(r"(?<![\w./-])([\w/-]+\.py)\b")
_MADE = re.compile(r"<!-- file: ([\w/.-]+) -->")
"""A file that the reader of a page makes."""
_FLOW = re.compile(r'"(\w+(?:/\w+)*\.py)')
_MODULE = re.compile(r"python3? -m ((?:benchmarks|examples|skillpm)(?:\.\w+)*)")
_ROOMS = "|".join(sorted(path.stem for path in (REPOSITORY / "skillpm").glob("[a-z]*")))
_DOTTED = re.compile(r"(?<![\w.])((?:skillpm|skillpm_registry)(?:\.\w+)+)\b")
_IN_A_ROOM = re.compile(rf"`((?:{_ROOMS})(?:\.\w+)+)`")
_TARGET = re.compile(r"`make ([\w-]+)`")


@cache
def _files() -> tuple[str, ...]:
    """All Python files of the repository."""
    trees = [REPOSITORY / tree for tree in (*_TREES.split("|"), "docs", "scripts")]
    below = [path for tree in trees for path in tree.rglob("*.py")]
    return tuple(map(str, [*REPOSITORY.glob("*.py"), *below]))


def runs(module: str) -> bool:
    """Whether `python -m module` finds a module to run; a package needs `__main__`."""
    path = REPOSITORY.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def names_code(dotted: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one; other suffixes are no code."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            spec = find_spec(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        if spec is not None and spec.origin is not None:
            text = Path(spec.origin).read_text(encoding="utf-8")
            return count == len(parts) or re.search(rf"\b{parts[count]}\b", text) is not None
    return False


def missing_in(text: str) -> list[str]:
    """Source paths, modules and dotted names of a text that do not exist."""
    paths = [path for path in _SOURCE.findall(text) if not (REPOSITORY / path).exists()]
    files = [
        name
        for name in _FILE.findall(text)
        if not any(path.endswith(f"/{name}") for path in _files())
        and name not in _MADE.findall(text)
    ]
    modules = [module for module in _MODULE.findall(text) if not runs(module)]
    dotted = [
        name
        for name in (
            *_DOTTED.findall(text), *(f"skillpm.{rest}" for rest in _IN_A_ROOM.findall(text)),
        )
        if not name.endswith((".toml", ".lock", ".json")) and not names_code(name)
    ]  # fmt: skip
    return [*paths, *files, *modules, *dotted]


@pytest.mark.parametrize("page", PAGES)
def test_source_paths_and_modules_of_a_page_exist(page: str) -> None:
    assert not missing_in((REPOSITORY / page).read_text(encoding="utf-8"))


def test_make_targets_of_the_pages_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w -]+):", makefile, flags=re.MULTILINE))
    known = {name for line in targets for name in line.split()}
    for page in PAGES:
        for target in _TARGET.findall((REPOSITORY / page).read_text(encoding="utf-8")):
            assert target in known, f"{page}: make {target}"


def test_files_in_the_architecture_diagram_exist() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = re.findall(r"^```mermaid\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    files = [name for block in drawing for name in _FLOW.findall(block)]
    assert files
    rooms = [REPOSITORY / "skillpm" / room for room in ("", "cli", "api", "flows")]
    for name in files:
        assert any((room / name).is_file() for room in rooms), name


@pytest.mark.parametrize("text", [
    "`skillpm/flows/nothing.py`", "`python -m benchmarks.nothing`", "`python -m benchmarks.tools`",
    "`skillpm.spec.nothing`", "`skillpm_registry.db.shape.NOTHING`", "`migrations/nothing/`",
])  # fmt: skip
def test_name_that_does_not_exist_is_detected(text: str) -> None:
    assert missing_in(text)


@pytest.mark.parametrize("text", [
    "`skillpm/spec/lockfile.py`", "`skillpm/delta/codecs/`", "`python -m benchmarks.live`",
    "`skillpm_registry.db.shape.CODE`", "edit `skillpm.toml` and `skillpm.lock`",
])  # fmt: skip
def test_name_that_exists_is_accepted(text: str) -> None:
    assert not missing_in(text)
