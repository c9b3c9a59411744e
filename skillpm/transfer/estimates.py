"""What a transfer will take, from what its rehearsal took."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from skillpm.transfer.config import TrainTable, TransferFile
from skillpm.transfer.selection import LEAST_PAIRS, keep_count
from skillpm.transfer.stages import Stage

DPO_COST = 2.6
"""The time of a pair in DPO, in rows of SFT: two answers, and the reference model reads both. Two
runs measured 2.63 and 2.59 (docs/benchmarks.md). By FLOPs it is 8/3, if a backward pass costs two
forward passes."""
PACK_BYTES_PER_SECOND = 30e6
"""Of the base: hashing, encoding and checking, measured on one core."""
ROUTER_COST = 0.06
"""The time of a text of the router, in rows of SFT: short, and read once. Measured on SmolLM2."""
ROUTER_EXAMPLES, ROUTER_BACKGROUND = 128, 512
"""The most texts of each kind in a router signature."""
PROBE_ITEMS = 32
"""The most held-out items that travel in the pack."""
JUDGING_SECONDS, JUDGING_SECONDS_PER_ANSWER = 600.0, 2.0
"""The time that all checks together may take: some seconds, and more for each answer."""
JUDGING_SECONDS_LIMIT = 12 * 3600.0
"""The most time that checks may take, however many answers there are."""
GENERAL_PROBES = 16
"""General questions of the probes. They are skillpm's own, so that no keep prompt travels."""


@dataclass(frozen=True)
class SourceRate:
    """What asking a model costs: seconds to load it, seconds for one request, and requests."""

    load_seconds: float
    request_seconds: float
    requests: int

    def seconds_with(self, items: int) -> float:
        """The seconds for all requests, and for one answer to each held-out item."""
        return self.load_seconds + self.request_seconds * (self.requests + items)


@dataclass(frozen=True)
class Rehearsal:
    """What the first answers and training steps took.

    `requests` are those to endpoints. `right` is the share of prompts with a right answer, of the
    best source, and `paired` that of prompts with a right and a wrong one. `row_seconds` is the
    time of one row of SFT, and `judge_seconds` that of one check.
    """

    sources: Mapping[str, SourceRate]
    base: SourceRate
    right: float
    load_seconds: float
    row_seconds: float
    base_bytes: int
    prompts: int
    keep: int
    items: int
    general: int
    requests: int
    paired: float = 1.0
    judge_seconds: float = 0.0

    @property
    def router_texts(self) -> int:
        """The texts of the router signature: prompts, and general prompts."""
        background = min(ROUTER_BACKGROUND, self.keep + self.general)
        return min(ROUTER_EXAMPLES, self.prompts + self.items) + background

    def to_dict(self) -> dict[str, Any]:
        """The rehearsal as plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        sources = {name: SourceRate(**rate) for name, rate in plain["sources"].items()}
        return cls(**{**plain, "sources": sources, "base": SourceRate(**plain["base"])})


@dataclass(frozen=True)
class TransferEstimate:
    """Seconds of each stage, requests to endpoints, and how they follow from the rehearsal."""

    stages: Mapping[Stage, float]
    requests: int
    lines: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """The seconds of all stages."""
        return sum(self.stages.values())

    @property
    def arithmetic(self) -> str:
        """How the figures follow, line by line."""
        return "\n".join(f"  {line}" for line in self.lines)


def judging_limit(answers: int, hours: float | None) -> float:
    """The seconds that all checks together may take; at most `[budget] hours`."""
    own = min(JUDGING_SECONDS_LIMIT, JUDGING_SECONDS + JUDGING_SECONDS_PER_ANSWER * answers)
    return own if hours is None else min(own, 3600 * hours)


@dataclass(frozen=True)
class _Amounts:
    """The amounts of a transfer. `pairs` is 0 if DPO is skipped."""

    rows: int
    kept: int
    pairs: int
    checks: int
    models: int

    @classmethod
    def of(cls, document: TransferFile, found: Rehearsal) -> Self:
        train, share = document.train, document.select.sft_share
        learnt = round(share * found.right * found.prompts)
        kept = min(found.keep, keep_count(learnt, train.keep_share))
        pairs = round((1 - share) * found.paired * found.prompts)
        has_dpo = pairs >= LEAST_PAIRS and train.dpo.epochs > 0
        checks = sum(rate.requests + found.items for rate in found.sources.values())
        return cls(learnt + kept, kept, pairs if has_dpo else 0, checks, 3 if has_dpo else 2)


def estimate(document: TransferFile, found: Rehearsal) -> TransferEstimate:
    """Estimate each stage. Prompts are taken to be as the first ones are."""
    work, train = _Amounts.of(document, found), document.train
    answer, load = found.base.request_seconds, found.base.load_seconds
    dpo = train.dpo.epochs * work.pairs * found.row_seconds * DPO_COST
    stages = {
        Stage.SAMPLE: sum(rate.seconds_with(found.items) for rate in found.sources.values()),
        Stage.FILTER: work.checks * found.judge_seconds + load + work.kept * answer,
        Stage.SFT: found.load_seconds + train.sft.epochs * work.rows * found.row_seconds,
        Stage.DPO: found.load_seconds + dpo if work.pairs else 0.0,
        Stage.EVALUATE: work.models * (load + (found.items + found.general) * answer),
        Stage.PACK: found.base_bytes / PACK_BYTES_PER_SECOND
        + 3 * load
        + found.router_texts * ROUTER_COST * found.row_seconds
        + (2 * min(found.items, PROBE_ITEMS) + GENERAL_PROBES) * answer,
    }
    return TransferEstimate(stages, found.requests, tuple(_lines(train, found, work)))


def _lines(train: TrainTable, found: Rehearsal, work: _Amounts) -> Iterator[str]:
    """How the estimates follow."""
    answer, load, row = found.base.request_seconds, found.base.load_seconds, found.row_seconds
    for name, rate in found.sources.items():
        yield (
            f"{name}: {rate.requests} + {found.items} requests × {rate.request_seconds:.3f} s "
            f"+ {rate.load_seconds:.1f} s to load"
        )
    yield f"filter: {work.checks} checks × {found.judge_seconds:.3f} s"
    yield f"base: {work.kept} keep answers × {answer:.3f} s + {load:.1f} s to load"
    yield f"SFT: {train.sft.epochs} epochs × {work.rows} rows × {row:.3f} s"
    if work.pairs:
        yield f"DPO: {train.dpo.epochs} epochs × {work.pairs} pairs × {DPO_COST * row:.3f} s"
    else:
        yield f"DPO: skipped below {LEAST_PAIRS} pairs"
    asked = found.items + found.general
    yield f"evaluation: {work.models} models × {asked} answers × {answer:.3f} s"
    yield f"pack: {found.base_bytes / 1e6:.1f} MB at {PACK_BYTES_PER_SECOND / 1e6:.0f} MB/s"
    yield f"router: {found.router_texts} texts × {ROUTER_COST * row:.3f} s"
