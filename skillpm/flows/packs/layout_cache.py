"""Keep the answers of model classes in the skillpm home: importing transformers takes seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.architecture.layout import ModelLayout, read_layout
from skillpm.errors import SkillpmError
from skillpm.libraries import installed
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.store.sealed_documents import load_sealed, save_sealed
from skillpm.version import __version__

FOLDER = "layouts"
_LIBRARIES = ("transformers", "torch", "peft")
_LIMIT = 16 << 20
"""The size limit of one answer, in bytes."""


@dataclass(frozen=True)
class CachedLayout:
    """A file in the cache of the skillpm home, used only if its owner alone can write it.

    The file's name is a hash of everything that determines the answer: the config, the tensors, the
    question, and the versions of skillpm and of the libraries.
    """

    home: Path
    name: str

    @classmethod
    def of(
        cls, home: Path, config: bytes, specs: Mapping[str, TensorSpec], asked: Mapping[str, Any]
    ) -> "CachedLayout":
        """The file of the answer about a model with this config and these tensors."""
        key = {
            "config": str(Digest.of(config)),
            "tensors": {name: [spec.dtype, *spec.shape] for name, spec in specs.items()},
            "asked": dict(asked),
            "libraries": {name: installed(name) for name in _LIBRARIES},
            "tool": __version__,
        }
        return cls(home, f"{Digest.of(json.canonical(key)).hex}.json")

    def get(self) -> ModelLayout | None:
        """The answer; None if the file is absent, invalid, or not the owner's alone."""
        plain = load_sealed(self.home, FOLDER, self.name, limit=_LIMIT)
        if plain is None:
            return None
        try:
            return read_layout(plain)
        except SkillpmError:
            return None

    def put(self, layout: ModelLayout) -> None:
        """Save the answer. A cache that cannot be written is ignored."""
        save_sealed(self.home, (FOLDER, self.name), layout.model_dump(mode="json"))
