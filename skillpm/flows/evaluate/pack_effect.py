"""The effect of a lossy pack: how base, tuned model and pack answer the texts of probes."""

from collections.abc import Mapping
from dataclasses import dataclass

from skillpm.delta.auto.decoded import DecodedTensors
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.torch_device import torch_threads
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.probing.measure import mean, measure
from skillpm.probing.model_host import ModelHost
from skillpm.probing.texts import item_texts, text_batches
from skillpm.running.answers import ReferenceAnswers, effect_of
from skillpm.running.runner import Batch, Runner
from skillpm.spec.effect import PackEffect, Scores
from skillpm.spec.probes import Probes

MOST_TOKENS = 1 << 13
"""The most tokens of probe texts on which loss and divergence are measured."""


@dataclass(frozen=True)
class ProbesEffect:
    """Measures a pack on the examples of probes, on a host that runs base and tuned model.

    `answers` are those of the tuned model. `values` are the scores of base and tuned model.
    """

    session: Session
    models: ModelPair
    host: ModelHost
    below: frozenset[str]
    probes: Probes
    answers: ReferenceAnswers
    values: tuple[Mapping[str, float], Mapping[str, float]]

    def __call__(self, pack: OpenPack) -> PackEffect:
        """Run the base, and the base with the pack. Costs two passes over the texts, one to score.

        The host runs the base with the pack afterwards.
        """
        reference = self.models.reference.source
        with torch_threads(self.session.workers):
            base = self.answers.compare(self.host.show(reference, self.below))
            names = {pair.tensor for pair in self.models.differing if pair.tuned}
            self.host.runner.place(DecodedTensors.of(reference, names, pack))
            packed = self.answers.compare(self.host.runner)
            scores = {name: self._score(name) for name in self.probes.items}
        return effect_of(base, self.answers.own, packed, scores)

    def _score(self, metric: str) -> Scores:
        before, after = self.values
        value = mean(measure(self.host.runner, metric, self.probes.items[metric]))
        return Scores(before[metric], after[metric], value)


def probe_batches(runner: Runner, probes: Probes) -> list[Batch]:
    """The texts of probes as batches of one sequence."""
    texts = (text for items in probes.items.values() for text in item_texts(items))
    return text_batches(runner, texts, MOST_TOKENS)
