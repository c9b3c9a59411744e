"""Detects damage that training frameworks do to a checkpoint, by comparison with its base."""

from collections.abc import Iterator, Mapping

from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec

Specs = Mapping[str, TensorSpec]
_PLACEHOLDER = (0,)
"""The shape of the placeholder that ZeRO-3 saves for a tensor of any rank."""


def check_no_damage(base: Specs, tuned: Specs) -> None:
    """Raise `GraftError` for placeholders and wrapped modules; `tuned` has the base's prefix.

    DeepSpeed's ZeRO-3 saves tensors of other ranks without elements. FSDP, activation
    checkpointing, `torch.compile` and unmerged adapters wrap single modules, and add a part to the
    names of their tensors (`layer.1._fsdp_wrapped_module.weight`).
    """
    for name, spec in tuned.items():
        before = base.get(name)
        if before is not None and before.nbytes and spec.shape == _PLACEHOLDER:
            raise GraftError(
                f"`{name}` of the tuned model is an empty placeholder of ZeRO-3: its shape is [0], "
                f"expected {list(before.shape)} as in the base",
                hint="gather the weights before saving: `stage3_gather_16bit_weights_on_model_save`"
                " in DeepSpeed's config, or `zero_to_fp32.py` on its checkpoint",
            )
        wrapped = before is None and _unwrapped(name, spec, base, tuned)
        if wrapped:
            raise GraftError(
                f"`{name}` of the tuned model is the base's `{wrapped}` in a wrapper module",
                hint="unwrap the model before saving it: `accelerator.unwrap_model(model)`, "
                "`model.merge_and_unload()` for an adapter",
            )


def _unwrapped(name: str, spec: TensorSpec, base: Specs, tuned: Specs) -> str | None:
    """Return the base's tensor of the same shape whose name lacks one part of this name.

    None if there is no such tensor.
    """
    for candidate in _shorter(name.split(".")):
        before = base.get(candidate)
        if before is not None and candidate not in tuned and before.shape == spec.shape:
            return candidate
    return None


def _shorter(parts: list[str]) -> Iterator[str]:
    """Yield the name without each of its parts in turn, then without all that start with `_`."""
    for wrapper in dict.fromkeys(parts[:-1]):
        yield ".".join(part for part in parts if part != wrapper)
    yield ".".join(part for part in parts if not part.startswith("_"))
