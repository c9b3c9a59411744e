"""Find a tensor's names in older checkpoints, from the facts of its architecture."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")
_STEPS = 4
"""The most renamings of one tensor that are followed."""


@dataclass(frozen=True)
class OlderNames:
    """Applies `ArchitectureFacts.names` to the names of tensors."""

    names: Mapping[str, str]

    def forms(self, tensor: str) -> tuple[str, ...]:
        """The tensor's name and its older names, newest first."""
        return tuple(_chain(tensor, self.names))

    def oldest(self, tensor: str) -> str:
        """The oldest name of a tensor; its own name if it was never renamed."""
        return self.forms(tensor)[-1]


def _chain(tensor: str, names: Mapping[str, str]) -> Iterator[str]:
    yield tensor
    for _ in range(_STEPS):
        older = _renamed(tensor, names)
        if older is None:
            return
        tensor = older
        yield tensor


def _renamed(tensor: str, names: Mapping[str, str]) -> str | None:
    """The tensor's next older name, from its own entry or its module's; None if there is none."""
    pattern, numbers = _NUMBER.sub("*", tensor), _NUMBER.findall(tensor)
    module, dot, end = pattern.rpartition(".")
    older = names.get(pattern)
    if older is None and module in names:
        older = f"{names[module]}{dot}{end}"
    if older is None or older.count("*") != len(numbers):
        return None
    parts = older.split("*")
    return parts[0] + "".join(n + part for n, part in zip(numbers, parts[1:], strict=True))
