"""The result of a transfer, and its report."""

from collections.abc import Sequence
from dataclasses import dataclass

from skillpm.flows.pack.pack import Packed
from skillpm.flows.transfer.evaluate import Evaluated
from skillpm.flows.transfer.plan import TransferPlan
from skillpm.flows.transfer.select import Filtered
from skillpm.flows.transfer.train import TrainedStage
from skillpm.transfer.estimates import TransferEstimate
from skillpm.transfer.evaluation import Ability
from skillpm.transfer.report import (
    AbilityDocument,
    RowsDocument,
    SourceDocument,
    TransferDocument,
    TransferPackDocument,
)
from skillpm.transfer.stages import StageTime


@dataclass(frozen=True)
class Transferred:
    """What a transfer did, as far as it went."""

    plan: TransferPlan
    workspace: str
    estimate: TransferEstimate
    stages: tuple[StageTime, ...] = ()
    filtered: Filtered | None = None
    trained: tuple[TrainedStage, ...] = ()
    evaluated: Evaluated | None = None
    packed: Packed | None = None
    notes: tuple[str, ...] = ()

    @property
    def flops(self) -> float | None:
        """The FLOPs of the trainings that the kept model comes from."""
        if self.evaluated is None:
            return None
        return used_flops(self.trained, self.evaluated)

    def report(self) -> TransferDocument:
        """The report as plain JSON."""
        found, evaluated = self.filtered, self.evaluated
        rounded = {str(name): round(value, 1) for name, value in self.estimate.stages.items()}
        return {
            "key": self.plan.key,
            "workspace": self.workspace,
            "stages": [{"name": str(each.stage), "seconds": each.seconds} for each in self.stages],
            "estimates": rounded,
            "requests": self.estimate.requests,
            "memory": self.plan.training_bytes,
            "duplicates": len(self.plan.split.duplicates),
            "sources": [] if found is None else _sources(self.plan, found),
            "rows": None if found is None else _rows(found),
            "before": None if evaluated is None else _ability(evaluated.base),
            "after": None if evaluated is None else _ability(evaluated.after),
            "models": {}
            if evaluated is None
            else {str(name): _ability(each) for name, each in evaluated.trained.items()},
            "kept": None if evaluated is None else evaluated.best.name,
            "tuned": None if evaluated is None else str(evaluated.best.tuned),
            "flops": self.flops,
            "pack": None if self.packed is None else _pack(self.packed),
            "notes": list(self.notes),
        }


def used_flops(trained: Sequence[TrainedStage], evaluated: Evaluated) -> float:
    """The FLOPs of the kept model's training and of those before it."""
    last = [each.stage for each in trained].index(evaluated.best.stage)
    return sum(each.trained.flops for each in trained[: last + 1])


def _ability(ability: Ability) -> AbilityDocument:
    return {"skill": ability.skill, "general": ability.general, "prose": ability.prose}


def _rows(found: Filtered) -> RowsDocument:
    rows = found.rows
    return {"sft": rows.learnt, "keep": len(rows.sft) - rows.learnt, "pairs": len(rows.pairs)}


def _sources(plan: TransferPlan, found: Filtered) -> list[SourceDocument]:
    judged = found.verdicts.judged
    return [
        {
            "name": source.name,
            "source": source.identity,
            "terms": source.table.terms,
            "answers": sum(each.source == number for each in judged),
            "right": found.verdicts.right(source.name),
            "skill": found.scores[source.name],
        }
        for number, source in enumerate(plan.sources)
    ]


def _pack(packed: Packed) -> TransferPackDocument:
    compression = packed.manifest.compression
    return {
        "skill": str(packed.manifest.skill),
        "version": str(packed.manifest.version),
        "path": str(packed.path),
        "digest": str(packed.digest),
        "scheme": compression.scheme,
        "file_bytes": packed.file_bytes,
        "ratio": compression.ratio,
    }
