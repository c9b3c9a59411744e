"""What an adapter calls a tensor, and what the base calls it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from skillpm.architecture.layout import ModelLayout
from skillpm.delta.match import Renaming, find_renaming
from skillpm.delta.ports import Source
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec


@dataclass(frozen=True)
class BaseNames:
    """Names of the base's tensors by those of the running model.

    `tied` maps a tensor of the running model to the one whose values it shares.
    """

    base: Source
    layout: ModelLayout | None
    wanted: Mapping[str, TensorSpec]
    tied: Mapping[str, str]

    @cached_property
    def renaming(self) -> Renaming:
        """The one prefix under which the wanted names are the base's."""
        wanted = {name: spec for name, spec in self.wanted.items() if name not in self.tied}
        return find_renaming(self.base.specs, wanted) if wanted else Renaming()

    def of(self, target: str) -> str:
        """The base's name of a tensor; the name that it would get where the base has none.

        Raises `GraftError` where no wanted name is the base's.
        """
        if self.layout is not None:
            name = self.layout.stored.get(target, target)
            if name in self.base.specs or target in self.tied:
                return name
        if target in self.base.specs:
            return target
        if target in self.tied:
            return target
        renamed = self.renaming.to_graft(target)
        return renamed if renamed in self.base.specs or self.layout is None else name

    def anchor(self, target: str) -> str | None:
        """The base's tensor that holds the values of a tied one; None where it is not tied."""
        source = self.tied.get(target, target)
        group = [source, *(name for name, other in self.tied.items() if other == source)]
        if len(group) == 1:
            return None
        stored = (self.of(name) for name in group)
        return next((name for name in stored if name in self.base.specs), None)

    def groups(self) -> dict[str, list[str]]:
        """The tensors that share their values with each source, itself first."""
        groups: dict[str, list[str]] = {}
        for name, source in self.tied.items():
            groups.setdefault(source, [source]).append(name)
        return groups

    def missing(self, what: str, target: str) -> GraftError:
        """The error for a tensor that the base does not have."""
        kind = f" of `{self.layout.model_class}`" if self.layout else ""
        return GraftError(
            f"{what}, but the base has no tensor for `{target}`{kind}",
            hint="name the base that the adapter was trained on, and see what it holds: "
            "`skillpm identify BASE`",
        )
