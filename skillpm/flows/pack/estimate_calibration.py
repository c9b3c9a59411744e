"""Estimates of `pack --calibration`: the run of the model, and `auto` under full metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from skillpm.calibration.sample import HELD_OUT, MOST_HELD_OUT, MOST_TOKENS
from skillpm.calibration.speed import MachineSpeed, ModelRun, TextLength
from skillpm.calibration.texts import read_texts
from skillpm.delta.auto.stand_in import StandIn
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.flows.pack.calibrate import tuned_folder
from skillpm.flows.pack.estimate_auto import AutoSampler
from skillpm.flows.pack.estimate_values import SampledPack, SampleRequest
from skillpm.flows.pack.samples import ENTRIES, spec_of
from skillpm.flows.pack.scheme import EncodingTarget

CALIBRATING, COMPARING = "calibrating", "comparing"
KEEP_TRIALS = 4
"""The trials that `--keep` takes with text; each is compared on held-out text."""


@dataclass(frozen=True)
class CalibratedSampler:
    """Samples a pack that is calibrated on a text."""

    target: EncodingTarget
    text: Path

    @property
    def group_entries(self) -> int:
        """The entries of each group that are sampled."""
        return ENTRIES

    @cached_property
    def _auto(self) -> AutoSampler:
        return AutoSampler(self.target, StandIn())

    def warm_up(self, asked: SampleRequest) -> None:
        """Have libraries and kernels loaded."""
        read_texts(self.text)
        tuned_folder(asked.models)
        self._auto.warm_up(asked)

    def __call__(self, asked: SampleRequest, /) -> SampledPack:
        """Sample `auto`, and add what runs of the model take."""
        sampled = self._auto(asked)
        texts, folder = read_texts(self.text), tuned_folder(asked.models)
        length = TextLength.of(folder, texts, self.target.device)
        run, speed = _model_run(asked, length), MachineSpeed.measure(max(1, length.vocabulary))
        held_out = min(length.tokens // HELD_OUT, MOST_HELD_OUT)
        seen = min(length.tokens - length.tokens // HELD_OUT, MOST_TOKENS)
        trials = 1 if self.target.budget is not None else KEEP_TRIALS
        weights = sum(spec.elements for spec in asked.models.tuned.specs.values())
        stages = {
            CALIBRATING: run.training_seconds(speed, seen),
            **_repeated(sampled.stages, trials),
            COMPARING: (2 + trials) * run.forward_seconds(speed, held_out),
        }
        note = () if self.target.device == "cpu" else ("the model's times are those of the CPU",)
        return replace(
            sampled,
            stages=stages,
            model_bytes=run.memory_bytes(weights, length.layers),
            notes=(*sampled.notes, *note),
        )


def _repeated(stages: Mapping[str, float], trials: int) -> dict[str, float]:
    """The stages with the encoding of every trial; later ones encode what their choice changes."""
    return {
        label: seconds * trials if label == "encoding" else seconds
        for label, seconds in stages.items()
    }


def _model_run(asked: SampleRequest, length: TextLength) -> ModelRun:
    """What the tuned model computes. An embedding that is not the head is only looked up."""
    specs = asked.models.tuned.specs
    has_head = any(kind_of(name) == "head" for name in specs)
    passed = tuple(
        spec.shape
        for name, spec in specs.items()
        if not (has_head and kind_of(name) == "embedding") and len(spec.shape) > 1
    )
    changed = tuple(
        spec_of(pair).shape
        for group in asked.groups
        for pair in group.pairs
        if pair.change == "changed" and spec_of(pair).shape
    )
    return ModelRun(passed, changed, length.vocabulary, length.causal, length.streamed)
