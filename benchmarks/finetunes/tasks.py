"""The encoder's two tasks as texts: for training, for calibration, and as held-out queries."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.finetunes.corpora import sources
from examples.code_search.data import _documented, load_corpus
from examples.code_search.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from examples.code_search.data import Function

CALIBRATION_BYTES = 384_000
LIBRARIES = ("numpy", "pydantic", "sqlalchemy", "torch")
# A package is a class if it has enough functions, and enough files to hold some out.
FEWEST_FILES = 10
FEWEST_FUNCTIONS = 180
MOST_TRAINED = 160
HELD_OUT_EACH = 40
SUPPORT_EACH = 12


@dataclass(frozen=True, slots=True)
class Examination:
    """Which of the supports' labels does each query belong to? The nearest centroid answers.

    Code search is the case of one support per label. `held_out` means that no support was trained
    on, so supports also count in the distance of the embeddings.
    """

    queries: tuple[str, ...]
    query_labels: tuple[int, ...]
    query_tokens: int
    supports: tuple[str, ...]
    support_labels: tuple[int, ...]
    support_tokens: int
    held_out: bool
    temperature: float
    score: str

    def save(self, path: Path) -> None:
        """Write the examination as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Examination:
        """Read what `save` wrote."""
        document = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = {
            key: tuple(one) if isinstance(one, list) else one for key, one in document.items()
        }
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Task:
    """Training functions, an examination on files without training functions, and texts."""

    train: tuple[Function, ...]
    examination: Examination
    calibration: tuple[str, ...]

    def digest(self) -> str:
        """The SHA-256 of all contents."""
        document: Any = [[asdict(one) for one in self.train], asdict(self.examination)]
        text = json.dumps([*document, self.calibration], sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def search() -> Task:
    """Docstring to function over the standard library: the example's own data and split."""
    corpus, settings = load_corpus(), Settings()
    places = tuple(range(len(corpus.held_out)))
    texts = [text for one in corpus.train for text in (one.docstring, one.body)]
    return Task(
        train=corpus.train,
        examination=Examination(
            queries=tuple(one.docstring for one in corpus.held_out),
            query_labels=places,
            query_tokens=settings.docstring_tokens,
            supports=tuple(one.body for one in corpus.held_out),
            support_labels=places,
            support_tokens=settings.body_tokens,
            held_out=True,
            temperature=settings.temperature,
            score="mean reciprocal rank",
        ),
        calibration=_some(texts),
    )


def package(*, tokens: int, temperature: float) -> Task:
    """From a function's body to its package, of four libraries. Files are held out whole."""
    classes = classes_of()
    train = [one for trained, _ in classes for one in trained[:MOST_TRAINED]]
    asked = [(label, one) for label, (_, kept) in enumerate(classes) for one in kept]
    known = [
        (label, one) for label, (trained, _) in enumerate(classes) for one in trained[:SUPPORT_EACH]
    ]
    return Task(
        train=tuple(train),
        examination=Examination(
            queries=tuple(one.body for _, one in asked),
            query_labels=tuple(label for label, _ in asked),
            query_tokens=tokens,
            supports=tuple(one.body for _, one in known),
            support_labels=tuple(label for label, _ in known),
            support_tokens=tokens,
            held_out=False,
            temperature=temperature,
            score="nearest-centroid accuracy",
        ),
        calibration=_some([one.body for one in train]),
    )


def classes_of() -> list[tuple[list[Function], list[Function]]]:
    """Functions of each package, by name: of most files, and of held-out files; both shuffled."""
    files: dict[str, dict[str, list[Function]]] = defaultdict(dict)
    seen: set[str] = set()
    for path, name in sources(LIBRARIES):
        module = ".".join(name.split("/")[:2])
        found = list(_documented(path.read_bytes(), module=module))
        fresh = [one for one in found if one.body not in seen]
        seen.update(one.body for one in fresh)
        if fresh and not module.endswith(".py"):
            files[module][name] = fresh
    return [
        _sides(found)
        for _, found in sorted(files.items())
        if len(found) >= FEWEST_FILES and sum(map(len, found.values())) >= FEWEST_FUNCTIONS
    ]


def _sides(files: dict[str, list[Function]]) -> tuple[list[Function], list[Function]]:
    """Hold out files, in the order of their names' SHA-256, until there are enough functions."""
    order = sorted(files, key=_draw)
    held_out: list[Function] = []
    while len(held_out) < HELD_OUT_EACH:
        held_out += files[order.pop()]
    train = [one for name in order for one in files[name]]
    return _shuffled(train), _shuffled(held_out)[:HELD_OUT_EACH]


def _shuffled(functions: Iterable[Function]) -> list[Function]:
    return sorted(functions, key=lambda one: _draw(one.body))


def _some(texts: Sequence[str]) -> tuple[str, ...]:
    """Shuffled texts, up to the size of a calibration file."""
    taken: list[str] = []
    room = CALIBRATION_BYTES
    for text in sorted(texts, key=_draw):
        room -= len(text.encode())
        if room < 0:
            break
        taken.append(text)
    return tuple(taken)


def _draw(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
