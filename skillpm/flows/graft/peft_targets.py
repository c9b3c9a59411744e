"""Ask PEFT which tensors of a base an adapter can hold, and whether it loads an adapter."""

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
    """The targets of an adapter, by PEFT's rules.

    `modules` maps a tensor of the checkpoint to its module in the running model, `refused` to the
    reason why an adapter cannot hold it. `conv1d` are the tensors that are stored as [in, out].
    `parameters` are targets that are not modules, such as the experts of a mixture.
    """

    modules: Mapping[str, str]
    conv1d: frozenset[str]
    refused: Mapping[str, str]
    parameters: tuple[ParameterPlace, ...] = ()

    @property
    def parts(self) -> frozenset[str]:
        """The checkpoint tensors of all `parameters`."""
        return frozenset(name for place in self.parameters for name in place.stored)


def find_targets(base: Checkpoint, tensors: list[str]) -> PeftTargets:
    """Ask PEFT which of these tensors it adapts. Raises `GraftError` if PEFT cannot answer."""
    if not tensors:
        return PeftTargets({}, frozenset(), {})
    data = config_bytes(base)
    answer = ask_targets(
        base.config, lambda files: files.peft_targets(data, base.specs, list(tensors))
    )
    modules = {name: str(module) for name, (module, _) in answer["modules"].items()}
    conv1d = frozenset(name for name, (_, kind) in answer["modules"].items() if kind == "conv1d")
    parameters = tuple(
        read_document(ParameterPlace, place, "PEFT's answer")
        for _, place in sorted(answer["parameters"].items())
    )
    targets = PeftTargets(modules, conv1d, {}, parameters)
    refused = {**answer["refused"], **answer["reasons"]}
    kept = {n: str(r) for n, r in refused.items() if n in tensors and n not in targets.parts}
    return replace(targets, refused=kept)


def check_loads(
    base: Checkpoint, config: Mapping[str, Any], specs: Mapping[str, TensorSpec]
) -> None:
    """Raise `GraftError` unless PEFT loads all tensors of an adapter and finds none missing."""
    tensors = {name: [spec.dtype, spec.shape] for name, spec in specs.items()}
    data, adapter = config_bytes(base), {"config": dict(config), "tensors": tensors}
    answer = ask_targets(base.config, lambda files: files.load_adapter(data, base.specs, adapter))
    for kind in ("unexpected", "missing"):
        names = answer[kind]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise GraftError(
                f"PEFT cannot load the adapter completely: {kind} tensor `{names[0]}`{more}",
                hint="`--format merged` writes the whole model",
            )


def config_bytes(base: Checkpoint) -> bytes:
    """Return the base's `config.json`; empty if there is none."""
    path = base.folder / CONFIG if base.folder else None
    return read_small(path) if path is not None and path.is_file() else b""
