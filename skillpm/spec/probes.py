"""Probes: a small evaluation in a pack, as JSON lines. They contain data, never code.

Each line is one item of one metric. `metric` may be left out if the fields identify the metric. The
first line may be a header, `{"probes": 1, "tolerance": 0.1}`. Probe files are untrusted, so their
sizes are limited before a model reads them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.fields import Document, collect
from skillpm.spec.probe_items import (
    ExactMatchItem,
    JudgedItem,
    LabelItem,
    MultipleChoiceItem,
    ProbesHeader,
    RetrievalItem,
    TokenLossItem,
)

FILE_LIMIT = 8_000_000
"""Bytes of a probe file."""
ITEM_LIMIT = 1000
"""Items of a probe file."""
LABEL_LIMIT = 64
"""Distinct labels of a probe file."""
LONGEST = 512
"""Tokens of a text that a model reads at most. The rest is cut off."""
WORK_LIMIT = 1 << 20
"""Tokens that a model may have to read for one file. `ITEM_LIMIT` items with one text each stay
below it, so only items with many choices or labels can exceed it."""
GENERATED_LIMIT = 1 << 15
"""Tokens that a model may have to generate for one file."""
LOSS_LIMIT = 1000.0
"""The largest token loss, in nats per token. Running models with float32 logits stay far below."""


@dataclass(frozen=True)
class ProbeMetric:
    """A metric: the items that it scores, its direction and its noise.

    An item without `metric` belongs to the first metric whose `identifying_fields` it has. `floor`
    is the smallest allowance. With `per_item` it is divided by the number of items.
    """

    name: str
    item: type[Document]
    identifying_fields: frozenset[str]
    higher_is_better: bool
    floor: float
    per_item: bool = False
    largest: float = 1.0

    def is_possible(self, value: float) -> bool:
        """Whether a model can have this value: 0 to 1, or to `largest` for a loss in nats."""
        return 0 <= value <= self.largest

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value of a measurement: of a share, or of a loss."""
        return (0.0, 1.0) if self.higher_is_better else (0.0, LOSS_LIMIT)

    def gain(self, value: float, base: float) -> float:
        """How much better `value` is than the base's value; negative if it is worse."""
        return value - base if self.higher_is_better else base - value

    def allowance(self, recorded: float, base: float, *, samples: int, tolerance: float) -> float:
        """How much worse than recorded a value may be: tolerance times gain, at least the floor."""
        floor = self.floor / max(1, samples) if self.per_item else self.floor
        return max(tolerance * abs(recorded - base), floor)

    def bound(self, recorded: float, allowance: float) -> float:
        """The worst value that passes."""
        return recorded - allowance if self.higher_is_better else recorded + allowance

    def passes(self, now: float, bound: float) -> bool:
        """Whether a value passes: finite, and not worse than the bound."""
        return isfinite(now) and (now >= bound if self.higher_is_better else now <= bound)


METRICS: Mapping[str, ProbeMetric] = {
    metric.name: metric
    for metric in (
        ProbeMetric(
            "mrr", RetrievalItem, frozenset({"query", "document"}), True, 0.5, per_item=True
        ),
        ProbeMetric(
            "multiple_choice", MultipleChoiceItem, frozenset({"choices"}), True, 1.0, per_item=True
        ),
        ProbeMetric("accuracy", LabelItem, frozenset({"text", "label"}), True, 1.0, per_item=True),
        ProbeMetric("judged", JudgedItem, frozenset({"check"}), True, 1.0, per_item=True),
        ProbeMetric(
            "exact_match", ExactMatchItem, frozenset({"prompt", "answer"}), True, 1.0, per_item=True
        ),
        ProbeMetric("token_loss", TokenLossItem, frozenset({"text"}), False, 1e-3, largest=1e3),
    )
}  # fmt: skip
"""All metrics by name, in the order in which they are matched to items without `metric`."""


@dataclass(frozen=True)
class Probes:
    """The items of a probe file by metric, and the tolerance of each metric."""

    items: Mapping[str, tuple[Document, ...]]
    tolerances: Mapping[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of items."""
        return sum(map(len, self.items.values()))


def prompt_of(item: Document) -> str:
    """The text of an item that a router uses to choose a skill: prompt, question, query or text."""
    if isinstance(item, JudgedItem):
        return item.text
    fields = item.to_dict()
    return str(
        next(fields[key] for key in ("prompt", "question", "query", "text") if key in fields)
    )


def token_bound(items: Mapping[str, Sequence[Document]]) -> int:
    """An upper bound of the tokens that a model reads for these items, without a tokenizer.

    A token has at least one byte, and at most `LONGEST` tokens of a text are read.
    """
    accuracy = items.get("accuracy", ())
    labels = sorted({item.label for item in accuracy if isinstance(item, LabelItem)})
    texts = (
        text for group in items.values() for item in group for text in _model_inputs(item, labels)
    )
    return sum(min(LONGEST, len(text.encode())) for text in texts)


def _model_inputs(item: Document, labels: Sequence[str]) -> Iterator[str]:
    """The texts that a model reads for an item."""
    match item:
        case MultipleChoiceItem():
            yield from (item.question + choice for choice in item.choices)
        case LabelItem():
            yield from (item.text + label for label in labels)
        case ExactMatchItem():
            yield item.prompt + item.answer
        case JudgedItem():
            yield from (message.content for message in item.chat)
        case RetrievalItem():
            yield from (item.query, item.document)
        case TokenLossItem():
            yield item.text


ItemProblems = Callable[[Document], Iterator[str]]
"""Further problems of an item, such as those of its check."""


def _no_problems(_item: Document) -> Iterator[str]:
    return iter(())


def parse_probes(
    data: bytes, what: str = "the probe file", item_problems: ItemProblems = _no_problems
) -> Probes:
    """Read a probe file. Raises `SpecError` with every problem and its line.

    The client passes `skillpm.checks.probes.check_problems`, which reads the checks.
    """
    if len(data) > FILE_LIMIT:
        raise SpecError(f"{what} has {len(data)} bytes; the limit is {FILE_LIMIT}")
    lines = [(n, line) for n, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if len(lines) > ITEM_LIMIT + 1:
        raise SpecError(f"{what} has {len(lines)} lines; the limit is {ITEM_LIMIT} items")
    problems = Problems(what)
    header, items = ProbesHeader(probes=1), dict[str, list[tuple[int, Document]]]()
    for number, line in lines:
        plain = _object(line, number, problems)
        if plain is None:
            continue
        if number == lines[0][0] and "probes" in plain:
            header = _header(plain, number, problems) or header
        else:
            _item(plain, number, problems, items)
    for number, item in (pair for group in items.values() for pair in group):
        problems.extend((f"line {number}", problem) for problem in item_problems(item))
    problems.extend(_group_problems(items))
    if not problems.found and not items:
        problems.add("", "the file has no items")
    problems.raise_if_any(hint='an item is a line like {"prompt": "2+2=", "answer": "4"}')
    groups = {name: tuple(item for _, item in group) for name, group in sorted(items.items())}
    tolerances = {name: header.tolerances.get(name, header.tolerance) for name in groups}
    return Probes(groups, tolerances)


def _object(line: bytes, number: int, problems: Problems) -> dict[str, Any] | None:
    try:
        return json.parse_object(line, "the item")
    except SpecError as problem:
        problems.add(f"line {number}", problem.message)
        return None


def _document(
    kind: type[Document], plain: dict[str, Any], number: int, problems: Problems
) -> Document | None:
    here = Problems("")
    document = collect(kind, plain, here)
    for problem in here.found:
        problems.add(f"line {number}", problem)
    return document


def _header(plain: dict[str, Any], number: int, problems: Problems) -> ProbesHeader | None:
    version = plain["probes"]
    if type(version) is int and version > 1:
        problems.add(f"line {number}", f"probe format {version}; this skillpm reads format 1")
        return None
    header = _document(ProbesHeader, plain, number, problems)
    if not isinstance(header, ProbesHeader):
        return None
    for name in sorted(header.tolerances.keys() - METRICS.keys()):
        problems.add(f"line {number}", f"tolerances: {_unknown(name)}")
    return header


def _unknown(name: object) -> str:
    return f"unknown metric {str(name)[:64]!r}; expected one of {', '.join(sorted(METRICS))}"


def _item(
    plain: dict[str, Any],
    number: int,
    problems: Problems,
    items: dict[str, list[tuple[int, Document]]],
) -> None:
    name = plain.get("metric")
    if name is None:
        matching = (m.name for m in METRICS.values() if m.identifying_fields <= plain.keys())
        name = next(matching, None)
    if name is None:
        problems.add(f"line {number}", "no `metric`, and the fields do not identify a metric")
        return
    metric = METRICS.get(name) if isinstance(name, str) else None
    if metric is None:
        problems.add(f"line {number}", _unknown(name))
        return
    if metric.item is MultipleChoiceItem and "question" not in plain and "prompt" in plain:
        plain = {**plain, "question": plain["prompt"]}
    item = _document(metric.item, plain, number, problems)
    if isinstance(item, MultipleChoiceItem):
        problems.extend((f"line {number}", problem) for problem in _choice_problems(item))
    if item is not None:
        items.setdefault(metric.name, []).append((number, item))


def _choice_problems(item: MultipleChoiceItem) -> Iterator[str]:
    if item.right < 0:
        yield "answer: expected one of the choices, or the index of one (from 0)"
    if len(set(item.choices)) < len(item.choices):
        yield "choices: duplicate choice"


def _group_problems(items: Mapping[str, list[tuple[int, Document]]]) -> Iterator[tuple[str, str]]:
    """Problems of all items of a metric, or of the file, taken together."""
    if sum(map(len, items.values())) > ITEM_LIMIT:
        yield "", f"more than {ITEM_LIMIT} items"
    labels = {item.label for _, item in items.get("accuracy", ()) if isinstance(item, LabelItem)}
    if labels and not 2 <= len(labels) <= LABEL_LIMIT:  # noqa: PLR2004 - a choice needs two
        yield "", f"accuracy: expected 2 to {LABEL_LIMIT} different labels, found {len(labels)}"
    retrieval = [item for _, item in items.get("mrr", ()) if isinstance(item, RetrievalItem)]
    if len({item.document for item in retrieval}) == 1:
        yield "", "mrr: expected at least 2 different documents, found 1"
    judged = [item for _, item in items.get("judged", ()) if isinstance(item, JudgedItem)]
    generated = sum(item.max_tokens for item in judged)
    if generated > GENERATED_LIMIT:
        limit = (
            f"a model would generate up to {generated:,} tokens; the limit is {GENERATED_LIMIT:,}"
        )
        yield "", f"judged: {limit}: use fewer items, or a smaller `max_tokens`"
    tokens = token_bound({name: [item for _, item in group] for name, group in items.items()})
    if tokens > WORK_LIMIT:
        limit = f"a model would read up to {tokens:,} tokens; the limit is {WORK_LIMIT:,}"
        yield "", f"{limit}: use fewer items, choices or labels, or shorter texts"
