"""What older checkpoints call a tensor of the running model, by the facts of its architecture."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")
_STEPS = 4
"""How often a name may have been changed in the history of a library."""


@dataclass(frozen=True)
class OlderNames:
    """`ArchitectureFacts.names`, applied to tensors."""

    names: Mapping[str, str]

    def forms(self, tensor: str) -> tuple[str, ...]:
        """The tensor's name and its older names, the newest first."""
        return tuple(_chain(tensor, self.names))

    def oldest(self, tensor: str) -> str:
        """The oldest name of a tensor; itself where it was always called so."""
        return self.forms(tensor)[-1]


def _chain(tensor: str, names: Mapping[str, str]) -> Iterator[str]:
    yield tensor
    for _ in range(_STEPS):
        following = _renamed(tensor, names)
        if following is None:
            return
        tensor = following
        yield tensor


def _renamed(tensor: str, names: Mapping[str, str]) -> str | None:
    """The tensor's next name: by its own entry, else by that of its module; None without one."""
    pattern, numbers = _NUMBER.sub("*", tensor), _NUMBER.findall(tensor)
    module, dot, end = pattern.rpartition(".")
    following = names.get(pattern)
    if following is None and module in names:
        following = f"{names[module]}{dot}{end}"
    if following is None or following.count("*") != len(numbers):
        return None
    parts = following.split("*")
    return parts[0] + "".join(n + part for n, part in zip(numbers, parts[1:], strict=True))
