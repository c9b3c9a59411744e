"""Which tensors of a base an adapter can hold, by PEFT's own rules, and whether PEFT loads it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skillpm.architecture.layout import ParameterPlace
from skillpm.checkpoint.model import CONFIG, Checkpoint, read_small
from skillpm.errors import GraftError
from skillpm.flows.packs.module_layout import ask_targets
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.fields import read_document


@dataclass(frozen=True)
class PeftTargets:
    """The module of each tensor that an adapter can hold, those that store [in, out], the refused.

    `modules` maps a tensor of the checkpoint to its module in the running model, `refused` one to
    the reason why no adapter holds it. `parameters` are those that an adapter holds for no module,
    such as the experts of a mixture.
    """

    modules: Mapping[str, str]
    conv1d: frozenset[str]
    refused: Mapping[str, str]
    parameters: tuple[ParameterPlace, ...] = ()

    @property
    def parts(self) -> frozenset[str]:
        """The stored tensors of all parameters."""
        return frozenset(name for each in self.parameters for name in each.stored)


def find_targets(base: Checkpoint, tensors: list[str]) -> PeftTargets:
    """Ask PEFT which of these tensors it adapts. Raises `GraftError` where it cannot be asked."""
    if not tensors:
        return PeftTargets({}, frozenset(), {})
    data = config_bytes(base)
    answer = ask_targets(
        base.config, lambda files: files.peft_targets(data, base.specs, list(tensors))
    )
    modules = {name: str(module) for name, (module, _) in answer["modules"].items()}
    conv1d = frozenset(name for name, (_, kind) in answer["modules"].items() if kind == "conv1d")
    parameters = tuple(
        read_document(ParameterPlace, each, "PEFT's answer")
        for _, each in sorted(answer["parameters"].items())
    )
    found = PeftTargets(modules, conv1d, {}, parameters)
    refused = {**answer["refused"], **answer["reasons"]}
    kept = {n: str(r) for n, r in refused.items() if n in tensors and n not in found.parts}
    return replace(found, refused=kept)


def check_loads(
    base: Checkpoint, config: Mapping[str, Any], specs: Mapping[str, TensorSpec]
) -> None:
    """Raise `GraftError` unless PEFT loads an adapter of these names, and misses none."""
    tensors = {name: [spec.dtype, spec.shape] for name, spec in specs.items()}
    data, adapter = config_bytes(base), {"config": dict(config), "tensors": tensors}
    answer = ask_targets(base.config, lambda files: files.load_adapter(data, base.specs, adapter))
    for what in ("unexpected", "missing"):
        if answer[what]:
            raise GraftError(
                f"PEFT would not load the adapter whole: {what} `{answer[what][0]}`, and "
                f"{len(answer[what]) - 1} more",
                hint="`--format merged` writes the whole model",
            )


def config_bytes(base: Checkpoint) -> bytes:
    """The base's `config.json`; empty where there is none."""
    path = base.folder / CONFIG if base.folder else None
    return read_small(path) if path is not None and path.is_file() else b""
