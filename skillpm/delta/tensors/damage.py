"""Damage that trainers do to a checkpoint, recognised by comparing it with its base."""

from collections.abc import Iterator, Mapping

from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec

Specs = Mapping[str, TensorSpec]
_PLACEHOLDER = (0,)
"""The shape of what ZeRO-3 leaves in the place of a tensor of any rank."""


def check_no_damage(base: Specs, tuned: Specs) -> None:
    """Raise `GraftError` for placeholders and wrapped modules; `tuned` has the base's prefix.

    DeepSpeed's ZeRO-3 saves tensors that live on other ranks with no elements. FSDP, activation
    checkpointing, `torch.compile` and unmerged adapters wrap single modules, whose tensors then
    have one more part in their names (`layer.1._fsdp_wrapped_module.weight`).
    """
    for name, spec in tuned.items():
        before = base.get(name)
        if before is not None and before.nbytes and spec.shape == _PLACEHOLDER:
            raise GraftError(
                f"`{name}` of the tuned model is empty: its shape is [0], the base's "
                f"{list(before.shape)}; ZeRO-3 saves such placeholders",
                hint="gather the weights before saving: `stage3_gather_16bit_weights_on_model_save`"
                " in DeepSpeed's config, or `zero_to_fp32.py` on its checkpoint",
            )
        wrapped = before is None and _unwrapped(name, spec, base, tuned)
        if wrapped:
            raise GraftError(
                f"`{name}` of the tuned model is the base's `{wrapped}` inside a wrapper",
                hint="unwrap the model before saving it: `accelerator.unwrap_model(model)`, "
                "`model.merge_and_unload()` for an adapter",
            )


def _unwrapped(name: str, spec: TensorSpec, base: Specs, tuned: Specs) -> str | None:
    """The base's tensor of the same shape that lacks one part of the name, if there is one."""
    for candidate in _shorter(name.split(".")):
        before = base.get(candidate)
        if before is not None and candidate not in tuned and before.shape == spec.shape:
            return candidate
    return None


def _shorter(parts: list[str]) -> Iterator[str]:
    """The name without one of its parts, wherever that stands; without all private ones."""
    for wrapper in dict.fromkeys(parts[:-1]):
        yield ".".join(part for part in parts if part != wrapper)
    yield ".".join(part for part in parts if not part.startswith("_"))
