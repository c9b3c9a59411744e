"""What is switched to: one skill for all, or a skill for each row of a batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import torch

from skillpm.errors import GraftError
from skillpm.live.making import Ready
from skillpm.live.patches import Forward, Patch, first


class Selection(Protocol):
    """What one block has chosen."""

    @property
    def chosen(self) -> "str | list[str | None]":
        """As a person names it."""
        ...

    def run(
        self, path: str, plain: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The output of the module at `path`, whose own forward is `plain`."""
        ...


@dataclass(frozen=True)
class SingleSkill:
    """One skill for whatever comes."""

    ready: Ready

    @property
    def chosen(self) -> str:
        """The skill."""
        return self.ready.skill

    def run(
        self, path: str, plain: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The module as the skill has it."""
        patch = self.ready.patches.get(path)
        return plain(*args, **kwargs) if patch is None else patch.run(plain, args, kwargs)


@dataclass(frozen=True)
class RowGroup:
    """The rows of a batch that one skill answers; None: the base."""

    ready: Ready | None
    rows: tuple[int, ...]


@dataclass
class MixedSkills:
    """A skill for each row. `width` is the rows that the model was called with: beams, too.

    `tokens` is how many each had, None where the call does not tell; `by_token` says of the modules
    that keep rows in order whether each token is an entry there. A weight that no row changes runs
    as it is; low-rank updates are added to the rows that they belong to after one product for all;
    where a skill has other weights, its rows run apart.
    """

    batch: int
    groups: tuple[RowGroup, ...]
    by_token: Mapping[str, bool]
    width: int = 0
    tokens: int | None = None
    _patches: dict[str, list[Patch | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.width = self.width or self.batch

    @property
    def chosen(self) -> "list[str | None]":
        """The skill of each row."""
        named = {row: g.ready.skill if g.ready else None for g in self.groups for row in g.rows}
        return [named[row] for row in range(self.batch)]

    def _of(self, path: str) -> list[Patch | None]:
        if path not in self._patches:
            found = [g.ready.patches.get(path) if g.ready else None for g in self.groups]
            self._patches[path] = found
        return self._patches[path]

    def run(
        self, path: str, plain: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The module, each row as its own skill has it."""
        patches = self._of(path)
        if len(patches) == 1 and patches[0] is not None:
            return patches[0].run(plain, args, kwargs)
        if not any(patches):
            return plain(*args, **kwargs)
        values = first(args, kwargs)
        count = values.shape[0] if values.dim() else 0
        if count == 1 and self.width > 1:
            return self._spread(patches, plain, args, kwargs)
        self._check(path, count)
        rows = [_rows(group.rows, count // self.batch, values.device) for group in self.groups]
        if all(patch is None or patch.instead is None for patch in patches):
            out = plain(*args, **kwargs)
            for patch, some in zip(patches, rows, strict=True):
                if patch is not None:
                    patch.add_rows(out, values, some)
            return out
        return _apart(path, plain, (args, kwargs), list(zip(patches, rows, strict=True)))

    def _check(self, path: str, count: int) -> None:
        """Raise `GraftError` where a module's entries are not those of the rows, in order."""
        each = self.tokens if self.by_token[path] else 1
        if count != self.width * (each or max(1, count // self.width)):
            raise GraftError(
                f"`{path}` was called with {count} entries for {self.width} rows: nobody can tell "
                "whose are whose, and each row has a skill of its own",
                hint="one skill for all rows: `with model.use_skill(NAME):`",
            )

    def _spread(
        self,
        patches: Sequence[Patch | None],
        plain: Forward,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> torch.Tensor:
        """What comes once for all rows (positions, say) comes out once for each."""
        repeat = self.width // self.batch
        outs: list[torch.Tensor] = [torch.empty(0)] * self.width
        for patch, group in zip(patches, self.groups, strict=True):
            out = plain(*args, **kwargs) if patch is None else patch.run(plain, args, kwargs)
            for row in group.rows:
                outs[row * repeat : (row + 1) * repeat] = [out] * repeat
        return torch.cat(outs)


@lru_cache(maxsize=4096)
def _rows(rows: tuple[int, ...], repeat: int, device: torch.device) -> Any:
    """The rows of a group where each stands `repeat` times: a slice where they lie together."""
    wide = [row * repeat + copy for row in rows for copy in range(repeat)]
    if wide == list(range(wide[0], wide[0] + len(wide))):
        return slice(wide[0], wide[0] + len(wide))
    return torch.tensor(wide, device=device)


def _apart(
    path: str,
    plain: Forward,
    called: tuple[tuple[Any, ...], Mapping[str, Any]],
    parts: Sequence[tuple[Patch | None, Any]],
) -> torch.Tensor:
    """The module run for each group of rows, and the rows put back in order."""
    args, kwargs = called
    tensors = sum(torch.is_tensor(value) for value in (*args, *kwargs.values()))
    out: torch.Tensor | None = None
    count = first(args, kwargs).shape[0]
    for patch, rows in parts:
        some = tuple(v[rows] if torch.is_tensor(v) else v for v in args)
        named = {key: v[rows] if torch.is_tensor(v) else v for key, v in kwargs.items()}
        found = plain(*some, **named) if patch is None else patch.run(plain, some, named)
        if tensors != 1 or not torch.is_tensor(found):
            raise GraftError(
                f"`{path}` takes more than its input, so a batch of several skills cannot run it",
                hint="run the rows of each skill on their own: `with model.use_skill(NAME):`",
            )
        if out is None:
            out = found.new_empty((count, *found.shape[1:]))
        out[rows] = found
    assert out is not None  # noqa: S101 - there is a group
    return out


def groups_of(skills: Sequence[str | None], ready: Callable[[str], Ready]) -> Iterator[RowGroup]:
    """The rows of each skill, and those of the base."""
    for skill in dict.fromkeys(skills):
        rows = tuple(row for row, other in enumerate(skills) if other == skill)
        yield RowGroup(None if skill is None else ready(skill), rows)
