"""Pairs the tensors of the tuned model with those of the base, by name or under one prefix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from skillpm.delta.tensors.damage import check_no_damage
from skillpm.errors import GraftError
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec, is_float
from skillpm.spec.manifest_parts import NO_CODEC, Change, FootprintEntry

Specs = Mapping[str, TensorSpec]


@dataclass(frozen=True, slots=True)
class Renaming:
    """A change of prefix: the tuned model's `tuned` + rest is the base's `base` + rest."""

    base: str = ""
    tuned: str = ""

    def to_graft(self, name: str) -> str:
        """Return the name that a tensor of the tuned model has in the base and in a graft."""
        return self.base + name.removeprefix(self.tuned) if name.startswith(self.tuned) else name


@dataclass(frozen=True, slots=True)
class Pair:
    """One tensor in the base, in the tuned model, or in both.

    `tuned` has the name of the graft and the dtype that is stored. `source` is the name in the
    tuned model if that differs; `cast` is the dtype in the tuned model if that differs.
    """

    tensor: str
    base: TensorSpec | None
    tuned: TensorSpec | None
    source: str | None = None
    cast: str | None = None

    @property
    def change(self) -> Change:
        """How the tensor differs between the base and the tuned model."""
        if self.base is None:
            return "added"
        if self.tuned is None:
            return "removed"
        return "changed" if self.base.shape == self.tuned.shape else "resized"

    @property
    def read_name(self) -> str:
        """The name of the tensor in the tuned model."""
        return self.source or self.tensor

    def entry(
        self,
        *,
        leaf: Digest | None,
        result: Digest | None = None,
        codec: str = NO_CODEC,
        layer: Digest | None = None,
    ) -> FootprintEntry:
        """The footprint entry of the tensor, with what is known so far."""
        spec = self.tuned or self.base
        assert spec is not None  # noqa: S101 - a pair has a tensor on at least one side
        return FootprintEntry(
            tensor=self.tensor,
            change=self.change,
            shape=spec.shape,
            dtype=spec.dtype,
            leaf=leaf,
            result=result,
            codec=codec,
            layer=layer,
            source=self.source,
        )


def pair_up(base: Specs, tuned: Specs, *, cast: bool) -> tuple[list[Pair], Renaming]:
    """Pair all tensors, sorted by name. Raises `GraftError` if the models do not fit each other."""
    renaming = _find_fitting(base, tuned)
    sources: dict[str, str] = {}
    for name in tuned:
        target = renaming.to_graft(name)
        if sources.setdefault(target, name) != name:
            raise GraftError(
                f"`{name}` and `{sources[target]}` of the tuned model both map to `{target}`"
            )
    pairs = [_pair(name, base, tuned, sources) for name in sorted(base.keys() | sources.keys())]
    if not any(pair.base and pair.tuned and pair.change == "changed" for pair in pairs):
        raise GraftError(
            "the tuned model shares no tensor of the same name and shape with the base",
        )
    check_no_damage(base, {pair.tensor: pair.tuned for pair in pairs if pair.tuned})
    _check_dtypes(pairs, cast=cast)
    return pairs, renaming


def _pair(name: str, base: Specs, tuned: Specs, sources: Mapping[str, str]) -> Pair:
    source = sources.get(name)
    if source is None:
        return Pair(name, base[name], None)
    before, after = base.get(name), tuned[source]
    dtype = before.dtype if before else after.dtype
    return Pair(
        name,
        before,
        replace(after, name=name, dtype=dtype),
        source if source != name else None,
        after.dtype if after.dtype != dtype else None,
    )


def _check_dtypes(pairs: list[Pair], *, cast: bool) -> None:
    for pair in pairs:
        if pair.base is None or pair.cast is None:
            continue
        if not cast or not (is_float(pair.cast) and is_float(pair.base.dtype)):
            raise GraftError(
                f"`{pair.tensor}` is {pair.base.dtype} in the base, {pair.cast} in the tuned model",
                hint=None if cast else "`--cast` rounds the tuned model to the base's dtype",
            )


def _find_fitting(base: Specs, tuned: Specs) -> Renaming:
    """Find the renaming; refuse a prefix under which shapes differ in more than their rows."""
    renaming = find_renaming(base, tuned)
    mismatched = _mismatched(renaming, base, tuned) if renaming != Renaming() else None
    if mismatched:
        raise GraftError(
            f"the tuned model's tensors match the base's under the prefix "
            f"`{renaming.tuned or renaming.base}`, but the shape of `{mismatched}` differs"
        )
    return renaming


def find_renaming(base: Specs, tuned: Specs) -> Renaming:
    """Return the identity if any name is shared, else the prefix under which most tensors match.

    Raises `GraftError` if no prefix matches, or if several match equally well.
    """
    if base.keys() & tuned.keys():
        return Renaming()
    candidates = {*_prefixes(base, tuned, flip=False), *_prefixes(tuned, base, flip=True)}
    fits = {renaming: _matches(renaming, base, tuned) for renaming in candidates}
    best = max(fits.values(), default=0)
    winners = [renaming for renaming, count in fits.items() if count == best]
    if not best or len(winners) != 1:
        raise GraftError(
            "the names of the tuned model's tensors do not match the base's, "
            f"with or without a prefix: found `{min(tuned)}`, expected names like `{min(base)}`",
        )
    return winners[0]


def _prefixes(short: Specs, long: Specs, *, flip: bool) -> Iterator[Renaming]:
    """Yield a renaming for each prefix of a name of `long` that leaves a name of `short`."""
    for name in long:
        dot = name.find(".")
        while dot != -1:
            if name[dot + 1 :] in short:
                prefix = name[: dot + 1]
                yield Renaming(base=prefix) if flip else Renaming(tuned=prefix)
            dot = name.find(".", dot + 1)


def _matches(renaming: Renaming, base: Specs, tuned: Specs) -> int:
    return sum(renaming.to_graft(name) in base for name in tuned)


def _mismatched(renaming: Renaming, base: Specs, tuned: Specs) -> str | None:
    """Return a paired tensor whose shape differs in more than its rows, or None."""
    for name, spec in tuned.items():
        before = base.get(renaming.to_graft(name))
        if before and before.shape[1:] != spec.shape[1:]:
            return name
    return None
