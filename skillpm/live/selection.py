"""The active choice: one skill for all rows, or a skill for each row of a batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import torch

from skillpm.errors import GraftError
from skillpm.live.patches import Forward, Patch, first_tensor
from skillpm.live.prepare import PreparedSkill
from skillpm.spec.words import counted


class Selection(Protocol):
    """The choice that is active in a `use_skill` block."""

    @property
    def chosen(self) -> "str | list[str | None]":
        """The choice as the caller gave it."""
        ...

    def run(
        self, path: str, original: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Return the output of the module at `path`, whose own forward is `original`."""
        ...


@dataclass(frozen=True)
class SingleSkill:
    """One skill for all rows."""

    prepared: PreparedSkill

    @property
    def chosen(self) -> str:
        """The name of the skill."""
        return self.prepared.skill

    def run(
        self, path: str, original: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Return the output of the module with the skill's patch."""
        patch = self.prepared.patches.get(path)
        return original(*args, **kwargs) if patch is None else patch.run(original, args, kwargs)


@dataclass(frozen=True)
class RowGroup:
    """The rows of a batch that use one skill; None is the base."""

    prepared: PreparedSkill | None
    rows: tuple[int, ...]


@dataclass
class MixedSkills:
    """A skill for each row of a batch.

    `width` is the number of rows that the model was called with, including beams. `tokens` is the
    number of tokens of each row, None if the call does not show it. `by_token` maps each module
    that keeps rows in order to whether each token is an entry there.

    A weight that no skill changes runs once for all rows. Low-rank updates are added to their rows
    after one product for all rows. If a skill replaces a weight, its rows run separately.
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
        named = {
            row: group.prepared.skill if group.prepared else None
            for group in self.groups
            for row in group.rows
        }
        return [named[row] for row in range(self.batch)]

    def _patches_at(self, path: str) -> list[Patch | None]:
        if path not in self._patches:
            patches = [
                group.prepared.patches.get(path) if group.prepared else None
                for group in self.groups
            ]
            self._patches[path] = patches
        return self._patches[path]

    def run(
        self, path: str, original: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Return the output of the module, each row with its own skill."""
        patches = self._patches_at(path)
        if len(patches) == 1 and patches[0] is not None:
            return patches[0].run(original, args, kwargs)
        if not any(patches):
            return original(*args, **kwargs)
        values = first_tensor(args, kwargs)
        count = values.shape[0] if values.dim() else 0
        if count == 1 and self.width > 1:
            return self._spread(patches, original, args, kwargs)
        self._check(path, count)
        rows = [_rows(group.rows, count // self.batch, values.device) for group in self.groups]
        if all(patch is None or patch.replacement is None for patch in patches):
            out = original(*args, **kwargs)
            for patch, group_rows in zip(patches, rows, strict=True):
                if patch is not None:
                    patch.add_rows(out, values, group_rows)
            return out
        return _run_groups(path, original, (args, kwargs), list(zip(patches, rows, strict=True)))

    def _check(self, path: str, count: int) -> None:
        """Raise `GraftError` if the module's entries are not those of the rows, in order."""
        per_row = self.tokens if self.by_token[path] else 1
        if count != self.width * (per_row or max(1, count // self.width)):
            raise GraftError(
                f"`{path}` was called with {counted(count, 'entry', 'entries')} for "
                f"{counted(self.width, 'row')}, which skillpm "
                "cannot assign to rows, and each row has its own skill",
                hint="one skill for all rows: `with model.use_skill(NAME):`",
            )

    def _spread(
        self,
        patches: Sequence[Patch | None],
        original: Forward,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> torch.Tensor:
        """Run an input that all rows share, such as positions, once per skill; return all rows."""
        repeat = self.width // self.batch
        outs: list[torch.Tensor] = [torch.empty(0)] * self.width
        for patch, group in zip(patches, self.groups, strict=True):
            out = original(*args, **kwargs) if patch is None else patch.run(original, args, kwargs)
            for row in group.rows:
                outs[row * repeat : (row + 1) * repeat] = [out] * repeat
        return torch.cat(outs)


@lru_cache(maxsize=4096)
def _rows(rows: tuple[int, ...], repeat: int, device: torch.device) -> Any:
    """Return the rows of a group, each repeated `repeat` times; a slice if they are adjacent."""
    repeated = [row * repeat + copy for row in rows for copy in range(repeat)]
    if repeated == list(range(repeated[0], repeated[0] + len(repeated))):
        return slice(repeated[0], repeated[0] + len(repeated))
    return torch.tensor(repeated, device=device)


def _run_groups(
    path: str,
    original: Forward,
    arguments: tuple[tuple[Any, ...], Mapping[str, Any]],
    parts: Sequence[tuple[Patch | None, Any]],
) -> torch.Tensor:
    """Run the module for each group of rows, and put the rows back in order."""
    args, kwargs = arguments
    tensors = sum(torch.is_tensor(value) for value in (*args, *kwargs.values()))
    out: torch.Tensor | None = None
    count = first_tensor(args, kwargs).shape[0]
    for patch, rows in parts:
        row_args = tuple(v[rows] if torch.is_tensor(v) else v for v in args)
        row_kwargs = {key: v[rows] if torch.is_tensor(v) else v for key, v in kwargs.items()}
        result = (
            original(*row_args, **row_kwargs)
            if patch is None
            else patch.run(original, row_args, row_kwargs)
        )
        if tensors != 1 or not torch.is_tensor(result):
            raise GraftError(
                f"`{path}` takes several tensors, so it cannot run a batch of several skills",
                hint="run the rows of each skill separately: `with model.use_skill(NAME):`",
            )
        if out is None:
            out = result.new_empty((count, *result.shape[1:]))
        out[rows] = result
    assert out is not None  # noqa: S101 - there is a group
    return out


def groups_of(
    skills: Sequence[str | None], prepared: Callable[[str], PreparedSkill]
) -> Iterator[RowGroup]:
    """Yield the rows of each skill, and those of the base."""
    for skill in dict.fromkeys(skills):
        rows = tuple(row for row, row_skill in enumerate(skills) if row_skill == skill)
        yield RowGroup(None if skill is None else prepared(skill), rows)
