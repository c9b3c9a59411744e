"""Trials of a pack: layers that are encoded to learn their size or their fidelity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from skillpm.checkpoint.files import OpenFile
from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.metric import Weighting
from skillpm.delta.auto.model_survey import ModelSurvey
from skillpm.delta.auto.points import EncodingChoice
from skillpm.delta.auto.scheme import Auto
from skillpm.delta.coding.payload import PayloadReader
from skillpm.delta.encoding.torch_device import ComputeDevice, torch_threads
from skillpm.flows.pack.attachments import Attachments
from skillpm.flows.pack.encoded_delta import Layers, encode_layers
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.pack.pack_file import file_size
from skillpm.flows.session.session import Session


@dataclass(frozen=True)
class Trial:
    """An allocation, and the layers that it was encoded to. `size` is the size of the file."""

    scheme: Auto
    layers: Layers
    size: int

    @property
    def allocation(self) -> Allocation:
        """The choices that were encoded."""
        return self.scheme.allocation

    @property
    def measured(self) -> Mapping[str, int]:
        """The bytes of the parts of every tensor."""
        return {tensor: encoded.stored for tensor, encoded in self.layers.encoded.items()}


@dataclass
class EncodingTrials:
    """Encodes trials of a pack, each in its own folder.

    A tensor that an earlier trial encoded by the same choice is copied from its layer.
    """

    session: Session
    models: ModelPair
    attachments: Attachments
    folder: Path
    weighting: Weighting
    survey: ModelSurvey
    facts: Mapping[str, Any]
    device: ComputeDevice
    count: int = 0
    _files: dict[tuple[str, EncodingChoice], Path] = field(default_factory=dict)
    _layers: dict[Path, PayloadReader] = field(default_factory=dict)

    @cached_property
    def entries(self) -> Mapping[str, int]:
        """The number of entries of every tensor that differs."""
        return {pair.tensor: pair.tuned.elements for pair in self.models.differing if pair.tuned}

    def run(self, allocation: Allocation) -> Trial:
        """Encode the layers of an allocation."""
        self.count += 1
        facts = {**self.facts, "curve": self.survey.curve()}
        scheme = Auto(self.weighting, allocation, facts, self._encoded, self.device)
        folder = self.folder / f"trial-{self.count}"
        with torch_threads(1):
            layers = encode_layers(self.session, self.models, scheme, folder)
        for tensor, encoded in layers.encoded.items():
            self._files[tensor, scheme.choice(tensor)] = layers.files[encoded.layer]
        size = file_size(self.session, self.models, self.attachments, scheme, layers)
        return Trial(scheme, layers, size)

    def _encoded(self, tensor: str, choice: EncodingChoice) -> PayloadReader | None:
        path = self._files.get((tensor, choice))
        if path is None:
            return None
        if path not in self._layers:
            self._layers[path] = PayloadReader(OpenFile(path), path.name)
        return self._layers[path]
