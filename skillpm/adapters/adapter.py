"""Read a PEFT adapter directory: its config and its tensors, sorted by their role."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.adapters.config import CONFIG, MERGE, PICKLE, WEIGHTS, AdapterConfig, parse_config
from skillpm.adapters.keys import Keys, Module, sort_keys
from skillpm.checkpoint.model import INDEX, Checkpoint, open_checkpoint, read_small
from skillpm.delta.codecs.lowrank import DTYPES
from skillpm.errors import NotFoundError, SpecError
from skillpm.spec.dtypes import TensorSpec


@dataclass(frozen=True)
class Adapter:
    """A LoRA on disk, checked without its base model."""

    path: Path
    config: AdapterConfig
    tensors: Checkpoint
    keys: Keys

    def factors(self, name: str) -> tuple[TensorSpec, TensorSpec]:
        """The specs of A [r, in] and B [out, r] of a module. Raises `SpecError` if invalid."""
        module = self.keys.modules[name]
        a, b = (self._factor(name, key) for key in (module.a, module.b))
        if a.shape[0] != b.shape[1]:
            raise SpecError(
                f"the factors of `{name}` have shapes {list(a.shape)} and {list(b.shape)}: their "
                "ranks differ"
            )
        if self.config.use_dora and module.magnitude is None:
            raise SpecError(f"`{self.path}` uses DoRA, but its module `{name}` has no magnitudes")
        if module.magnitude is not None and not self.config.use_dora:
            raise SpecError(f"module `{name}` has magnitudes, but `{self.path}` does not use DoRA")
        return a, b

    def check_rank(self, name: str) -> None:
        """Raise `SpecError` unless a module's factors have the rank that the config gives it."""
        a, b = self.factors(name)
        rank = self.config.rank_of(name)
        if a.shape[0] != rank:
            raise SpecError(
                f"the config of `{self.path}` gives `{name}` rank {rank}, but its factors have "
                f"shapes {list(a.shape)} and {list(b.shape)}"
            )

    def _factor(self, name: str, key: str | None) -> TensorSpec:
        assert key is not None  # noqa: S101 - `sort_keys` checks that both factors exist
        spec = self.tensors.specs[key]
        if len(spec.shape) > 2:  # noqa: PLR2004 - a convolution, in any number of dimensions
            raise SpecError(
                f"`{name}` is a convolution, and skillpm cannot pack a LoRA of a convolution",
                hint=MERGE,
            )
        if spec.dtype not in DTYPES or len(spec.shape) != 2 or not spec.elements:  # noqa: PLR2004
            raise SpecError(
                f"{key!r} should be a matrix in {', '.join(DTYPES)}; "
                f"found {spec.dtype} {list(spec.shape)}"
            )
        return spec

    def module(self, name: str) -> Module:
        """The keys of one module."""
        return self.keys.modules[name]


def holds_adapter(path: Path) -> bool:
    """Whether a folder contains a PEFT adapter, with or without a model beside it."""
    return path.is_dir() and (path / CONFIG).is_file()


def holds_model(path: Path) -> bool:
    """Whether a folder contains the weights of a model, apart from those of an adapter."""
    others = (entry.name for entry in path.glob("*.safetensors"))
    return (path / INDEX).exists() or any(name != WEIGHTS for name in others)


def open_adapter(path: Path) -> Adapter:
    """Read an adapter directory.

    Raises `SpecError` for an adapter that is invalid or cannot be packed exactly, and
    `NotFoundError` if its weights are missing.
    """
    config = parse_config(read_small(path / CONFIG), f"`{path / CONFIG}`")
    if not (path / WEIGHTS).exists():
        if (path / PICKLE).exists():
            raise SpecError(
                f"`{path / PICKLE}` is a pickle, which can run code: it is never loaded",
                hint="save the adapter as safetensors: `model.save_pretrained(DIR)`",
            )
        raise NotFoundError(f"there is no `{WEIGHTS}` in `{path}`")
    tensors = open_checkpoint(path / WEIGHTS)
    keys = sort_keys(list(tensors.specs), f"`{path / WEIGHTS}`")
    config.check_work(keys.modules, f"`{path / CONFIG}`")
    adapter = Adapter(path, config, tensors, keys)
    for name in keys.modules:
        adapter.factors(name)
        if not config.target_parameters:
            adapter.check_rank(name)
    return adapter
