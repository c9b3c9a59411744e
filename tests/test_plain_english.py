"""The vocabulary of documentation and code: banned words, and the size of the glossary.

To check a further folder of Python files, add one line to `CODE`.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    ".github/PULL_REQUEST_TEMPLATE.md",
    "docs",
)
"""Markdown files, and folders of them, that are checked whole."""

CODE: tuple[str, ...] = (
    "skillpm",
    "registry",
    "migrations",
    "benchmarks",
    "examples",
    "scripts",
    "tests",
    "docs",
)
"""Folders of Python files whose docstrings, comments and strings are checked."""

NAMES = "tests"
"""The folder of Python files whose names of functions and classes are checked too."""

BANNED = {
    "nobody": r"\bnobody\b",
    "told": r"\btold\b(?! apart\b)",
    "tells": r"\btells\b(?! the user\b)",
    "lies over": r"\blies over\b",
    "so many": r"\bso many\b",
    "wish": r"\bwish",
    "hangs on": r"\bhangs on\b",
    "by what": r"\bby what\b",
    "as what": r"\bas what\b",
    "is vain": r"\bis vain\b",
    "mended": r"\bmended\b",
    "of ours": r"\bof ours\b",
    "on the way in": r"\bon the way in\b",
}
"""Each banned phrase with its pattern; a space in a pattern matches a line break too."""

_PATTERNS = {
    name: re.compile(text.replace(" ", r"\s+"), re.IGNORECASE) for name, text in BANNED.items()
}

OWN_TERMS = 12
"""The glossary defines at most this many terms of skillpm's own."""


@dataclass(frozen=True)
class Allowed:
    """Permission for one banned phrase in lines of a file that contain `excerpt`."""

    path: str
    phrase: str
    excerpt: str
    reason: str


ALLOWED = (
    Allowed("docs/security.md", "nobody", "`nobody`", "the name of a Unix user"),
    Allowed("docs/reference/plan.md", "wish", "`plan.wishes`", "a key of a saved plan"),
    Allowed("skillpm/environment/generation.py", "wish", "wishes", "a key of the state file"),
    Allowed("skillpm/flows/change/preview.py", "wish", "wishes", "a key of a saved plan"),
    Allowed("tests/benchmarks/test_structure.py", "nobody", "Nobody.", "a sample for the count"),
    Allowed("tests/benchmarks/test_structure.py", "told", "told from", "a sample for the count"),
    Allowed("tests/environment/test_environment_untrusted.py", "wish", "wishes", "a state key"),
    Allowed("tests/fuzz/fuzz_seeds.py", "wish", "wishes", "a key of state files and plans"),
    Allowed("tests/hostile/hostile_variants.py", "wish", "wishes", "a state key"),
    Allowed("tests/journeys/test_journey_plans.py", "wish", "wishes", "a key of a saved plan"),
    Allowed(
        "skillpm/sandbox/layers/privileges.py", "nobody", "`nobody`", "the name of a Unix user"
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A banned phrase in a line of a file; `path` is relative to the repository."""

    path: str
    line: int
    phrase: str
    text: str

    def is_allowed_by(self, allowed: Allowed) -> bool:
        """Whether the entry permits this finding."""
        place = (self.path, self.phrase) == (allowed.path, allowed.phrase)
        return place and allowed.excerpt in self.text


def passages_of_python(source: str) -> Iterator[tuple[int, str]]:
    """The string literals and comments of a module, each with the number of its first line.

    Comments on consecutive lines are one passage, so that a phrase may cross a line break.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    first, last, lines = 0, -1, [""]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        text, line = token.string.lstrip("#: "), token.start[0]
        if line != last + 1:
            yield first, "\n".join(lines)
            first, lines = line, []
        lines.append(text)
        last = line
    yield first, "\n".join(lines)


def names_of_python(source: str) -> Iterator[tuple[int, str]]:
    """The words of each function's and class's name, with its line: `read_lock` is "read lock"."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name.replace("_", " ").strip()
        elif isinstance(node, ast.ClassDef):
            yield node.lineno, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", node.name).strip("_")


def findings_in(path: str, passages: Iterator[tuple[int, str]]) -> Iterator[Finding]:
    """Every banned phrase in the passages of a file."""
    for first, text in passages:
        for phrase, pattern in _PATTERNS.items():
            for match in pattern.finditer(text):
                before = text.count("\n", 0, match.start())
                line = text.splitlines()[before]
                yield Finding(path, first + before, phrase, line.strip())


def files_below(place: str, suffix: str) -> list[Path]:
    """A file, or all files with this suffix in a folder. This test itself is left out."""
    path = REPOSITORY / place
    files = [path] if path.is_file() else sorted(path.rglob(f"*{suffix}"))
    return [file for file in files if file != Path(__file__)]


def findings_below(place: str, suffix: str) -> Iterator[Finding]:
    """Every banned phrase in Markdown (`.md`) or Python (`.py`) files of a folder."""
    for file in files_below(place, suffix):
        text = file.read_text(encoding="utf-8")
        name = str(file.relative_to(REPOSITORY))
        if suffix == ".py":
            yield from findings_in(name, passages_of_python(text))
            if place == NAMES:
                yield from findings_in(name, names_of_python(text))
        else:
            yield from findings_in(name, iter([(1, text)]))


CHECKED = (*((place, ".md") for place in DOCUMENTS), *((place, ".py") for place in CODE))


@pytest.mark.parametrize(("place", "suffix"), CHECKED)
def test_docs_and_code_contain_no_banned_phrase(place: str, suffix: str) -> None:
    assert files_below(place, suffix)
    wrong = [
        f"{finding.path}:{finding.line}: `{finding.phrase}` in: {finding.text}"
        for finding in findings_below(place, suffix)
        if not any(finding.is_allowed_by(allowed) for allowed in ALLOWED)
    ]
    assert not wrong, "\n".join(wrong)


def test_allowed_entries_each_have_a_reason_and_match_a_finding() -> None:
    findings = [finding for place, suffix in CHECKED for finding in findings_below(place, suffix)]
    for allowed in ALLOWED:
        assert allowed.reason
        assert any(finding.is_allowed_by(allowed) for finding in findings), allowed


@pytest.mark.parametrize(("text", "phrase"), [
    ("Nobody can read it.", "nobody"),
    ("It is told from the\nmanifests.", "told"),
    ("The title tells what it is.", "tells"),
    ("A pack that lies\n  over others", "lies over"),
    ("every so many rows", "so many"),
    ("the wishes of a project", "wish"),
    ("is there and is no graft of ours", "of ours"),
    ("checked on the way in", "on the way in"),
])  # fmt: skip
def test_findings_in_reports_a_banned_phrase(text: str, phrase: str) -> None:
    assert [finding.phrase for finding in findings_in("page.md", iter([(1, text)]))] == [phrase]


@pytest.mark.parametrize("text", [
    "The two cases can be told\napart.", "The error tells the user what to do.", "untold sources",
])  # fmt: skip
def test_findings_in_accepts_a_similar_phrase_of_ordinary_english(text: str) -> None:
    assert not list(findings_in("page.md", iter([(1, text)])))


def test_passages_and_names_of_python_yield_all_text_except_variables() -> None:
    source = (
        '"""Nobody."""\n\nx = f"told {1} twice"  # is\n# vain\ny = ("so " "many")\nnobody = 1\n'
        "def _told_by_x(): ...\nclass AsWhat: ...\n"
    )
    passages = [*passages_of_python(source), *names_of_python(source)]
    findings = findings_in("room.py", iter(passages))
    assert sorted((finding.line, finding.phrase) for finding in findings) == [
        (1, "nobody"),
        (3, "is vain"),
        (3, "told"),
        (5, "so many"),
        (7, "told"),
        (8, "as what"),
    ]


def own_terms() -> dict[str, str]:
    """Each term of the glossary's first table with its definition."""
    page = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", page, re.MULTILINE))


def test_glossary_defines_at_most_twelve_own_terms() -> None:
    terms = own_terms()
    assert {"base", "root", "graft"} <= set(terms)
    assert len(terms) <= OWN_TERMS


def test_glossary_definitions_have_one_or_two_sentences() -> None:
    for term, definition in own_terms().items():
        assert definition.endswith("."), term
        assert len(re.findall(r"\.(?:\s|$)", definition)) in {1, 2}, term
