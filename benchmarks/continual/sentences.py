"""The real encoder and three tasks in a row: search by docstring, package, search by signature."""

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

import torch

from benchmarks.continual import texts
from benchmarks.continual.settings import EXAMPLES, Sentences, plain
from benchmarks.continual.subject import GENERAL, Answers
from benchmarks.finetunes import contrast, tasks
from benchmarks.finetunes.cache import made, sha256
from benchmarks.finetunes.language import write_lines
from benchmarks.finetunes.settings import Contrast
from examples.code_search.data import SKIPPED_FOLDERS, Function, _definitions, load_corpus
from examples.code_search.encoder import Encoder, embed, load, packaged_model, save
from examples.code_search.settings import Settings
from examples.code_search.train import _batches as pair_batches
from examples.code_search.train import _loss as pair_loss

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.finetunes.cache import Made

TASKS = ("search", "package", "signature")
PAIRS, EXAMINATION, EXAMPLE_TEXTS = "pairs.json", "examination.json", "examples.jsonl"
BACKGROUND = "background.jsonl"
FORM = 1


@dataclass(frozen=True, slots=True)
class Examination:
    """Which support's label does each query belong to? The nearest centroid answers."""

    queries: list[str]
    labels: list[int]
    supports: list[str]
    support_labels: list[int]


def prepare(cache: Path, task: str) -> Made:
    """What to train on and what to be asked, in CACHE/tasks/TASK; half a minute for each."""
    wanted = {"python": platform.python_version(), "settings": plain(Sentences()), "form": FORM}

    def work(folder: Path) -> None:
        pairs, examination, examples = READERS[task]()
        (folder / PAIRS).write_text(json.dumps([asdict(one) for one in pairs]), encoding="utf-8")
        (folder / EXAMINATION).write_text(json.dumps(asdict(examination)), encoding="utf-8")
        write_lines(folder / EXAMPLE_TEXTS, examples)

    return made(cache / "tasks" / task, wanted, work)


Read = tuple[list[Function], Examination, list[str]]


def search() -> Read:
    """From a docstring to its function over the standard library."""
    corpus = load_corpus()
    return _pairs(list(corpus.train), list(corpus.held_out))


def signature() -> Read:
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
    return _pairs(*halves)


def package() -> Read:
    """From a function's body to its package, of four libraries."""
    asked = Sentences()
    classes = tasks.classes_of()
    shown = asked.supports_each + -(-EXAMPLES // len(classes))
    train = [one for trained, _ in classes for one in trained[shown:]]
    every = [(place, one) for place, (_, kept) in enumerate(classes) for one in kept]
    queries = _by_turns(every)[: asked.held_out]
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


def general() -> Read:
    """From the first half of a paragraph of English to its second: what the base is good at."""
    asked = Sentences()
    paragraphs = [
        paragraph.split()
        for document in sorted(texts.english(), key=lambda one: one.name)
        if document.name.startswith("pydoc_data/")
        for paragraph in document.text.split("\n\n")
    ]
    long = [words for words in paragraphs if len(words) >= 40]
    chosen = long[:: max(1, len(long) // asked.held_out)][: asked.held_out]
    halves = [(words[:20], words[20:40]) for words in chosen]
    functions = [Function("", "", " ".join(first), " ".join(second)) for first, second in halves]
    return _pairs(functions, functions)


def background() -> list[str]:
    """Beginnings of paragraphs of two libraries' docstrings: the general task asks of others."""
    words = [
        paragraph.split()[:20]
        for document in sorted(texts.english(), key=lambda one: one.name)
        if not document.name.startswith("pydoc_data/")
        for paragraph in document.text.split("\n\n")
    ]
    long = [" ".join(one) for one in words if len(one) == 20]
    return long[:: max(1, len(long) // EXAMPLES)][:EXAMPLES]


READERS = {"search": search, "package": package, "signature": signature, GENERAL: general}


class SentencesSubject:
    """Three tasks in sequence; a query's score is its reciprocal rank, or 1 for the right label."""

    name = "encoder"
    tasks = TASKS

    def __init__(self, cache: Path) -> None:
        self._settings = Sentences()
        self._folder = cache / "tasks"
        self.stage = self._settings.stage
        self.base = packaged_model()
        self._tokenizer = load(self.base).tokenizer
        self._examined: dict[str, Examination] = {}
        self._functions: dict[str, list[Function]] = {}
        for task in (*TASKS, GENERAL):
            found = json.loads((self._folder / task / EXAMINATION).read_text(encoding="utf-8"))
            self._examined[task] = Examination(**found)
            pairs = json.loads((self._folder / task / PAIRS).read_text(encoding="utf-8"))
            self._functions[task] = [Function(**one) for one in pairs]

    def fingerprint(self) -> dict[str, Any]:
        """The base's weights, all texts, the settings."""
        files = {
            f"{task}/{name}": sha256(self._folder / task / name)
            for task in (*TASKS, GENERAL)
            for name in (PAIRS, EXAMINATION)
        }
        base = sha256(self.base / "model.safetensors")
        return {"base": base, "data": files, "settings": plain(self._settings)}

    def load(self, folder: Path) -> Any:
        """A model directory in float32, without dropout."""
        return load(folder).model

    def save(self, model: Any, folder: Path) -> None:
        """Write the model as it is, with the base's tokenizer."""
        save(self._encoder(model), folder, tokenizer_of=self.base)

    def batches(self, task: str, seed: int) -> list[tuple[str, Any]]:
        """So many pairs, or so many classes with texts, a step."""
        asked, functions = self._settings, self._functions[task]
        if task == "package":
            drawn = contrast.batches(functions, self._contrast(seed))
            return [(task, one) for one in drawn]
        found = list(pair_batches(functions, settings=self._searching(seed)))
        repeats = -(-asked.stage.steps // len(found))
        return [(task, one) for one in (found * repeats)[: asked.stage.steps]]

    def rehearsed(
        self, batches: list[tuple[str, Any]], earlier: Sequence[str], seed: int
    ) -> list[tuple[str, Any]]:
        """Every tenth step is followed by a batch of an earlier task, in turn."""
        every = round(1 / self.stage.replay)
        mixed = []
        old = {task: self.batches(task, seed) for task in earlier}
        for step, batch in enumerate(batches, start=1):
            mixed.append(batch)
            if step % every == 0:
                turn = step // every - 1
                task = earlier[turn % len(earlier)]
                mixed.append(old[task][turn % len(old[task])])
        return mixed

    def loss(self, model: Any, batch: tuple[str, Any]) -> torch.Tensor:
        """Supervised contrast for the package task, symmetric in-batch cross-entropy otherwise."""
        task, asked = batch[0], self._settings
        encoder = self._encoder(model)
        if task == "package":
            drawn, labels = batch[1]
            vectors = embed(encoder, drawn, tokens=asked.answer_tokens)
            return contrast.loss_of(vectors, labels, temperature=asked.class_temperature)
        return pair_loss(encoder, batch[1], settings=self._searching(0))

    def likelihoods(self, model: Any, task: str, count: int) -> Iterator[torch.Tensor]:
        """Of whole batches, a quarter as many as examples: a pair alone has no wrong answers."""
        batches = self.batches(task, seed=0)
        return (self.loss(model, one) for one in batches[: max(1, count // 4)])

    def answers(self, model: Any, task: str) -> Answers:
        """The reciprocal rank of each query's own label, or whether it comes first."""
        asked, found, encoder = self._settings, self._examined[task], self._encoder(model)
        tokens = asked.answer_tokens if task == "package" else asked.query_tokens
        with torch.inference_mode():
            queries = embed(encoder, found.queries, tokens=tokens)
            supports = embed(encoder, found.supports, tokens=asked.answer_tokens)
        labels, of = torch.tensor(found.labels), torch.tensor(found.support_labels)
        sums = torch.zeros(int(of.max()) + 1, supports.shape[1]).index_add(0, of, supports)
        cosines = queries @ torch.nn.functional.normalize(sums, dim=-1).T
        heat = asked.class_temperature if task == "package" else asked.pair_temperature
        losses = torch.nn.functional.cross_entropy(cosines / heat, labels, reduction="none")
        own = cosines.gather(1, labels[:, None])
        ranks = (cosines >= own).sum(dim=1).double()
        scores = (ranks == 1).double() if task == "package" else 1.0 / ranks
        return Answers(scores=scores.tolist(), losses=losses.tolist())

    def examples(self, task: str) -> Path:
        """Queries of the training half that were left out of training."""
        return self._folder / task / EXAMPLE_TEXTS

    def background(self) -> Path:
        """English that is no query of any task: an encoder cannot make up texts."""
        path = self._folder / BACKGROUND
        if not path.exists():
            write_lines(path, background())
        return path

    def queries(self, task: str) -> list[str]:
        """The texts as they are asked."""
        return self._examined[task].queries

    def run(self, model: Any, text: str) -> None:
        """Embed one text."""
        embed(self._encoder(model), [text], tokens=self._settings.answer_tokens)

    def _encoder(self, model: Any) -> Encoder:
        return Encoder(model=model, tokenizer=self._tokenizer)

    def _searching(self, seed: int) -> Settings:
        asked = self._settings
        return Settings(
            seed=seed,
            batch=asked.pairs,
            group=asked.group,
            temperature=asked.pair_temperature,
            docstring_tokens=asked.query_tokens,
            body_tokens=asked.answer_tokens,
        )

    def _contrast(self, seed: int) -> Contrast:
        asked = self._settings
        return Contrast(steps=asked.stage.steps, classes=asked.classes, each=asked.each, seed=seed)


def _pairs(train: list[Function], held_out: list[Function]) -> Read:
    """Each query's own text among the others'; every tenth pair of the training half is kept."""
    chosen = held_out[:: max(1, len(held_out) // Sentences().held_out)][: Sentences().held_out]
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
    """One of each class after the other, so that a cut keeps them even."""
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
    """Functions of the standard library, each with its signature where its body would be."""
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
