"""Training data and held-out queries of the encoder's three tasks and its general task."""

from __future__ import annotations

import ast
import json
import platform
import sysconfig
import warnings
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.continual import texts
from benchmarks.continual.settings import BACKGROUND_TEXTS, EXAMPLES, Sentences, plain
from benchmarks.continual.subject import GENERAL
from benchmarks.finetunes import tasks
from benchmarks.finetunes.cache import made
from benchmarks.finetunes.language import write_lines
from examples.code_search.data import SKIPPED_FOLDERS, Function, _definitions, load_corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.finetunes.cache import Made

TASKS = ("search", "package", "signature")
PAIRS, EXAMINATION, EXAMPLE_TEXTS = "pairs.json", "examination.json", "examples.jsonl"
BACKGROUND = f"background-{BACKGROUND_TEXTS}.jsonl"
TABLE, UNSEEN = 0, 1
"""Parts of the held-out side: the table's queries, and queries that no choice was based on."""
FORM = 1


@dataclass(frozen=True, slots=True)
class Examination:
    """Which support's label does each query belong to? The nearest centroid answers."""

    queries: list[str]
    labels: list[int]
    supports: list[str]
    support_labels: list[int]


def prepare(cache: Path, task: str) -> Made:
    """Write training data and queries to CACHE/tasks/TASK; half a minute for each task."""
    wanted = {"python": platform.python_version(), "settings": plain(Sentences()), "form": FORM}

    def work(folder: Path) -> None:
        pairs, examination, examples = READERS[task]()
        (folder / PAIRS).write_text(json.dumps([asdict(one) for one in pairs]), encoding="utf-8")
        (folder / EXAMINATION).write_text(json.dumps(asdict(examination)), encoding="utf-8")
        write_lines(folder / EXAMPLE_TEXTS, examples)

    return made(cache / "tasks" / task, wanted, work)


Read = tuple[list[Function], Examination, list[str]]


def search(part: int = TABLE) -> Read:
    """From a docstring to its function over the standard library."""
    corpus = load_corpus()
    return _pairs(list(corpus.train), list(corpus.held_out), part)


def signature(part: int = TABLE) -> Read:
    """From a function's signature to its docstring, over the same two halves."""
    corpus = load_corpus()
    signed = {(one.name, one.docstring): one.body for one in _signatures()}
    halves = [
        [
            Function(one.module, one.name, signed[one.name, one.docstring], one.docstring)
            for one in half
            if (one.name, one.docstring) in signed
        ]
        for half in (corpus.train, corpus.held_out)
    ]
    train, held_out = halves
    return _pairs(train, held_out, part)


def package(part: int = TABLE) -> Read:
    """From a function's body to its package, of four libraries."""
    asked = Sentences()
    classes = tasks.classes_of()
    shown = asked.supports_each + -(-EXAMPLES // len(classes))
    train = [one for trained, _ in classes for one in trained[shown:]]
    every = [(place, one) for place, (_, kept) in enumerate(classes) for one in kept]
    queries = _by_turns(every)[part * asked.held_out :][: asked.held_out]
    supports = [
        (place, one)
        for place, (trained, _) in enumerate(classes)
        for one in trained[: asked.supports_each]
    ]
    examination = Examination(
        queries=[one.body for _, one in queries],
        labels=[place for place, _ in queries],
        supports=[one.body for _, one in supports],
        support_labels=[place for place, _ in supports],
    )
    examples = [one.body for trained, _ in classes for one in trained[asked.supports_each : shown]]
    return train, examination, examples[:EXAMPLES]


def general(part: int = TABLE) -> Read:
    """From the first half of a paragraph of English to its second: the base's own strength."""
    paragraphs = [
        paragraph.split()
        for document in sorted(texts.english(), key=lambda one: one.name)
        if document.name.startswith("pydoc_data/")
        for paragraph in document.text.split("\n\n")
    ]
    long = [words for words in paragraphs if len(words) >= 40]
    halves = [(words[:20], words[20:40]) for words in _of_part(long, part)]
    functions = [Function("", "", " ".join(first), " ".join(second)) for first, second in halves]
    return _pairs(functions, functions, TABLE)


def background() -> list[str]:
    """Beginnings of paragraphs from docstrings of two libraries, which the general task lacks."""
    words = [
        paragraph.split()[:20]
        for document in sorted(texts.english(), key=lambda one: one.name)
        if not document.name.startswith("pydoc_data/")
        for paragraph in document.text.split("\n\n")
    ]
    long = [" ".join(one) for one in words if len(one) == 20]
    return long[:: max(1, len(long) // BACKGROUND_TEXTS)][:BACKGROUND_TEXTS]


READERS = {"search": search, "package": package, "signature": signature, GENERAL: general}


def _of_part(line: list[Any], part: int) -> list[Any]:
    """Held-out items at equal distances; `UNSEEN` takes items between the table's."""
    step = max(1, len(line) // Sentences().held_out)
    return line[part * step // 2 :: step][: Sentences().held_out]


def _pairs(train: list[Function], held_out: list[Function], part: int) -> Read:
    """Pairs of a query and its own text; every tenth pair of the training half is held back."""
    chosen = _of_part(held_out, part)
    places = list(range(len(chosen)))
    examination = Examination(
        queries=[one.docstring for one in chosen],
        labels=places,
        supports=[one.body for one in chosen],
        support_labels=places,
    )
    every = max(1, len(train) // EXAMPLES)
    examples = train[::every][:EXAMPLES]
    shown = set(examples)
    kept = [one for one in train if one not in shown]
    return kept, examination, [one.docstring for one in examples]


def _by_turns(asked: list[tuple[int, Function]]) -> list[tuple[int, Function]]:
    """Interleave the classes, so that a cut keeps them balanced."""
    classes: dict[int, list[Function]] = defaultdict(list)
    for place, one in asked:
        classes[place].append(one)
    longest = max(map(len, classes.values()))
    return [
        (place, found[turn])
        for turn in range(longest)
        for place, found in sorted(classes.items())
        if turn < len(found)
    ]


def _signatures() -> Iterator[Function]:
    """Functions of the standard library; the signature takes the place of the body."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if not SKIPPED_FOLDERS.isdisjoint(path.relative_to(root).parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in _definitions(tree):
            paragraph = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
            if paragraph:
                signed = f"def {node.name}({ast.unparse(node.args)})"
                yield Function("", node.name, paragraph, signed)
