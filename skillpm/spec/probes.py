"""Probes: a small evaluation that a pack carries, as JSON lines. Data, never code.

Each line is one item of one metric; `metric` may be left out where the fields tell it. The first
line may be a head, `{"probes": 1, "tolerance": 0.1}`. Files come from strangers: sizes are bounded
before anything is run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.fields import Document, collect
from skillpm.spec.probe_items import (
    ExactMatchItem,
    LabelItem,
    MultipleChoiceItem,
    ProbesHeader,
    RetrievalItem,
    TokenLossItem,
)

FILE_LIMIT = 8_000_000
ITEM_LIMIT = 1000
LABEL_LIMIT = 64
"""The labels of one file."""
LONGEST = 512
"""The tokens of a text that count, where the model takes as many."""
WORK_LIMIT = 1 << 20
"""The tokens that one file may have a model read: what `ITEM_LIMIT` of the longest plain items make
up. Only items with many choices or labels come to more."""
LOSS_LIMIT = 1000.0
"""Nats a token: float32 logits of a running model do not come near."""


@dataclass(frozen=True)
class ProbeMetric:
    """What a kind of item is scored by: its fields, which way is better, and what is noise.

    `floor` is the least allowance; with `per_item` it is a share of one item's weight.
    """

    name: str
    item: type[Document]
    identifying_fields: frozenset[str]
    higher_is_better: bool
    floor: float
    per_item: bool = False
    largest: float = 1.0

    def is_possible(self, value: float) -> bool:
        """Whether any model can have this value: 0 to 1, or to `largest` for a loss in nats."""
        return 0 <= value <= self.largest

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that a measurement can give: a share, or a loss."""
        return (0.0, 1.0) if self.higher_is_better else (0.0, LOSS_LIMIT)

    def gain(self, value: float, base: float) -> float:
        """How much better a value is than the base's; below zero where it is worse."""
        return value - base if self.higher_is_better else base - value

    def allowance(self, recorded: float, base: float, *, samples: int, tolerance: float) -> float:
        """How much worse than recorded a value may be.

        The tolerance times the recorded gain, and no less than the floor.
        """
        floor = self.floor / max(1, samples) if self.per_item else self.floor
        return max(tolerance * abs(recorded - base), floor)

    def bound(self, recorded: float, allowance: float) -> float:
        """The worst value that still holds."""
        return recorded - allowance if self.higher_is_better else recorded + allowance

    def holds(self, now: float, bound: float) -> bool:
        """Whether a value is no worse than the bound. One that is not finite never is."""
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
        ProbeMetric(
            "exact_match", ExactMatchItem, frozenset({"prompt", "answer"}), True, 1.0, per_item=True
        ),
        ProbeMetric("token_loss", TokenLossItem, frozenset({"text"}), False, 1e-3, largest=1e3),
    )
}  # fmt: skip
"""Every metric; the first whose fields an item has is the one that it is taken for."""


@dataclass(frozen=True)
class Probes:
    """A file of probes: the items of each metric, and how much each may lose."""

    items: Mapping[str, tuple[Document, ...]]
    tolerances: Mapping[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many items there are."""
        return sum(map(len, self.items.values()))


def prompt_of(item: Document) -> str:
    """What an item shows a model first: what a router tells the skill by."""
    fields = item.to_dict()
    return str(
        next(fields[key] for key in ("prompt", "question", "query", "text") if key in fields)
    )


def token_bound(items: Mapping[str, Sequence[Document]]) -> int:
    """The most tokens that a model reads for these items, told before there is a model.

    No token is shorter than a byte, and no more count of a text than `LONGEST`.
    """
    labels = sorted({one.label for one in items.get("accuracy", ()) if isinstance(one, LabelItem)})
    shown = (text for found in items.values() for one in found for text in _shown(one, labels))
    return sum(min(LONGEST, len(text.encode())) for text in shown)


def _shown(item: Document, labels: Sequence[str]) -> Iterator[str]:
    """The texts that a model is shown for an item."""
    match item:
        case MultipleChoiceItem():
            yield from (item.question + choice for choice in item.choices)
        case LabelItem():
            yield from (item.text + label for label in labels)
        case ExactMatchItem():
            yield item.prompt + item.answer
        case RetrievalItem():
            yield from (item.query, item.document)
        case TokenLossItem():
            yield item.text


def parse_probes(data: bytes, what: str = "the probe file") -> Probes:
    """Read probes; raise `SpecError` with every problem and its line."""
    if len(data) > FILE_LIMIT:
        raise SpecError(f"{what} is {len(data)} bytes; at most {FILE_LIMIT} are read")
    lines = [(n, line) for n, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if len(lines) > ITEM_LIMIT + 1:
        raise SpecError(f"{what} has {len(lines)} lines; at most {ITEM_LIMIT} items are read")
    problems = Problems(what)
    head, items = ProbesHeader(probes=1), dict[str, list[tuple[int, Document]]]()
    for number, line in lines:
        plain = _object(line, number, problems)
        if plain is None:
            continue
        if number == lines[0][0] and "probes" in plain:
            head = _head(plain, number, problems) or head
        else:
            _item(plain, number, problems, items)
    problems.extend(_wholes(items))
    if not problems.found and not items:
        problems.add("", "there is no item")
    problems.raise_if_any(hint='an item is a line such as {"prompt": "2+2=", "answer": "4"}')
    kept = {name: tuple(one for _, one in found) for name, found in sorted(items.items())}
    return Probes(kept, {name: head.tolerances.get(name, head.tolerance) for name in kept})


def _object(line: bytes, number: int, problems: Problems) -> dict[str, Any] | None:
    try:
        return json.parse_object(line, "it")
    except SpecError as problem:
        problems.add(f"line {number}", problem.message)
        return None


def _document(
    kind: type[Document], plain: dict[str, Any], number: int, problems: Problems
) -> Document | None:
    here = Problems("")
    found = collect(kind, plain, here)
    for problem in here.found:
        problems.add(f"line {number}", problem)
    return found


def _head(plain: dict[str, Any], number: int, problems: Problems) -> ProbesHeader | None:
    version = plain["probes"]
    if type(version) is int and version > 1:
        problems.add(f"line {number}", f"it is of format {version}; this skillpm reads 1")
        return None
    head = _document(ProbesHeader, plain, number, problems)
    if not isinstance(head, ProbesHeader):
        return None
    for name in sorted(head.tolerances.keys() - METRICS.keys()):
        problems.add(f"line {number}", f"tolerances: {_unknown(name)}")
    return head


def _unknown(name: object) -> str:
    return f"the metric {str(name)[:64]!r} is not known; known are {', '.join(sorted(METRICS))}"


def _item(
    plain: dict[str, Any],
    number: int,
    problems: Problems,
    items: dict[str, list[tuple[int, Document]]],
) -> None:
    named = plain.get("metric")
    told = (metric.name for metric in METRICS.values() if metric.identifying_fields <= plain.keys())
    name = next(told, None) if named is None else named
    if name is None:
        problems.add(f"line {number}", "neither `metric` nor the fields tell what it is scored by")
        return
    metric = METRICS.get(name) if isinstance(name, str) else None
    if metric is None:
        problems.add(f"line {number}", _unknown(name))
        return
    if metric.item is MultipleChoiceItem and "question" not in plain and "prompt" in plain:
        plain = {**plain, "question": plain["prompt"]}
    found = _document(metric.item, plain, number, problems)
    if isinstance(found, MultipleChoiceItem):
        problems.extend((f"line {number}", problem) for problem in _choice(found))
    if found is not None:
        items.setdefault(metric.name, []).append((number, found))


def _choice(item: MultipleChoiceItem) -> Iterator[str]:
    if item.right < 0:
        yield "answer: it is none of the choices (a number counts from 0)"
    if len(set(item.choices)) < len(item.choices):
        yield "choices: one stands twice"


def _wholes(items: Mapping[str, list[tuple[int, Document]]]) -> Iterator[tuple[str, str]]:
    """What must hold between the items of one metric."""
    if sum(map(len, items.values())) > ITEM_LIMIT:
        yield "", f"there are more than {ITEM_LIMIT} items"
    labels = {one.label for _, one in items.get("accuracy", ()) if isinstance(one, LabelItem)}
    if labels and not 2 <= len(labels) <= LABEL_LIMIT:  # noqa: PLR2004 - a choice needs two
        yield "", f"accuracy has {len(labels)} labels; it needs 2 to {LABEL_LIMIT}"
    found = {one.document for _, one in items.get("mrr", ()) if isinstance(one, RetrievalItem)}
    if len(found) == 1:
        yield "", "mrr has one document only; it needs others to tell it from"
    tokens = token_bound({name: [one for _, one in found] for name, found in items.items()})
    if tokens > WORK_LIMIT:
        told = f"a model would read up to {tokens:,} tokens for it, {WORK_LIMIT:,} at most"
        yield "", f"{told}: have fewer items, choices or labels, or shorter texts"
