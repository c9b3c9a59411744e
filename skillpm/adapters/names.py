"""Map the names of tensors in an adapter to their names in the base."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from skillpm.architecture.layout import ModelLayout
from skillpm.architecture.renaming import OlderNames
from skillpm.delta.tensors.pairing import Renaming, find_renaming
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec


@dataclass(frozen=True)
class BaseNames:
    """Maps names of tensors in the running model to their names in the base.

    `wanted` are the tensors that the adapter changes. `tied` maps a tensor of the running model to
    the one whose values it shares, and `untied` are the keys of `config.json` that separate them.
    """

    base: Source
    layout: ModelLayout | None
    wanted: Mapping[str, TensorSpec]
    tied: Mapping[str, str]
    untied: Mapping[str, Any]
    older: OlderNames

    @cached_property
    def renaming(self) -> Renaming:
        """The prefix that maps the wanted names, or their older forms, to names of the base.

        An empty renaming if there is no such prefix; then missing names are reported one by one.
        """
        wanted = {name: spec for name, spec in self.wanted.items() if name not in self.tied}
        older = {self.older.oldest(name): spec for name, spec in wanted.items()}
        if not wanted:
            return Renaming()
        for names in (wanted, older):
            with suppress(GraftError):
                return find_renaming(self.base.specs, names)
        return Renaming()

    def base_name(self, target: str) -> str:
        """The base's name of a tensor; the name that it would have if the base lacks the tensor."""
        if self.layout is not None:
            name = self.layout.stored.get(target, target)
            if name in self.base.specs or target in self.tied:
                return name
        forms = self.older.forms(target)
        known = next((form for form in forms if form in self.base.specs), None)
        if known is not None or target in self.tied:
            return known or self._new_name(target)
        renamed = self._renamed(forms)
        return renamed if renamed in self.base.specs or self.layout is None else name

    def _new_name(self, target: str) -> str:
        """The name of a tied tensor that the base lacks: the older name if the base uses those."""
        source = self.tied[target]
        stored = self.older.forms(source)
        uses_older = source not in self.base.specs and any(n in self.base.specs for n in stored)
        return self.older.oldest(target) if uses_older else target

    def _renamed(self, forms: Sequence[str]) -> str:
        """The first of the names that is in the base with the prefix; else the last one with it."""
        renamed = [self.renaming.to_graft(form) for form in forms]
        return next((name for name in renamed if name in self.base.specs), renamed[-1])

    def anchor(self, target: str) -> str | None:
        """The base's tensor with the values of a tied tensor; None if the tensor is not tied."""
        source = self.tied.get(target, target)
        group = [source, *(name for name, tied_to in self.tied.items() if tied_to == source)]
        if len(group) == 1:
            return None
        stored = (self.base_name(name) for name in group)
        return next((name for name in stored if name in self.base.specs), None)

    def tied_groups(self) -> dict[str, list[str]]:
        """The tensors that share their values with each source, the source itself first."""
        groups: dict[str, list[str]] = {}
        for name, source in self.tied.items():
            groups.setdefault(source, [source]).append(name)
        return groups

    def missing_error(self, what: str, target: str) -> GraftError:
        """The error for a tensor that the base does not have."""
        kind = f" of `{self.layout.model_class}`" if self.layout else ""
        hint = (
            "use the base that the adapter was trained on; to show the tensors of a base: "
            "`skillpm identify BASE`"
        )
        if self.layout is None:
            kind = ", and its model class, which may know another name, is not available"
            hint += "; or install transformers: `pip install 'skillpm-graft[hf]'`"
        return GraftError(f"{what}, but the base has no tensor for `{target}`{kind}", hint=hint)
