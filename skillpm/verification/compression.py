"""What a manifest says of its compression: sizes, ratio, codecs by kind of module, exactness."""

from collections.abc import Iterable, Mapping
from math import isclose

from skillpm.delta.apply.recompute import DecodedTensor, sketch_of
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.spec.compat import is_additive
from skillpm.spec.exactness import is_exact
from skillpm.spec.manifest import Kind, Manifest
from skillpm.verification.evidence import Discrepancies, Discrepancy

_ROUNDING = 1e-9
"""Relative: the overall error is the square root of sums that were rounded in another order."""


def check_sizes(manifest: Manifest) -> Discrepancies:
    """`delta_bytes` and `ratio` follow from the footprint and from `payload_bytes`."""
    stated = manifest.compression
    dense = sum(one.spec.nbytes for one in manifest.footprint if one.change != "removed")
    if stated.delta_bytes != dense:
        yield Discrepancy("compression.delta_bytes", stated.delta_bytes, dense)
    ratio = round(dense / stated.payload_bytes, 4) if stated.payload_bytes else 0.0
    if stated.ratio != ratio:
        yield Discrepancy("compression.ratio", stated.ratio, ratio)


def check_errors(manifest: Manifest) -> Discrepancies:
    """What is carried exactly has no error; the overall error lies between those of its modules.

    How large the error of a lossy codec is, only the tuned model says: that is a claim.
    """
    stated, modules = manifest.compression, _by_kind(manifest)
    for kind in sorted(modules.keys() & stated.modules.keys()):
        error = stated.modules[kind].relative_error
        path = f"compression.modules.{kind}.relative_error"
        yield from _check_error(path, error, exact=_all_exact(manifest, modules[kind]))
    everything = [name for names in modules.values() for name in names]
    exact = _all_exact(manifest, everything)
    yield from _check_error("compression.relative_error", stated.relative_error, exact=exact)
    if not exact:
        yield from _check_overall(manifest, modules)


def _check_error(path: str, stated: float | None, *, exact: bool) -> Discrepancies:
    if exact and stated != 0.0:
        yield Discrepancy(path, stated, "0.0: every codec of it is exact")
    elif stated is None:
        yield Discrepancy(path, "nothing", "a number: lossy codecs are used")


def _check_overall(manifest: Manifest, modules: Mapping[Kind, list[str]]) -> Discrepancies:
    summed = {one.tensor for one in manifest.footprint if is_additive(one)}
    stated = manifest.compression
    errors = [
        stated.modules[kind].relative_error
        for kind, names in modules.items()
        if kind in stated.modules and summed.intersection(names)
    ]
    known = [error for error in errors if error is not None]
    overall = stated.relative_error
    if overall is None or not known or len(known) < len(errors):
        return
    low, high = min(known), max(known)
    inside = low <= overall <= high or any(isclose(overall, e, rel_tol=_ROUNDING) for e in known)
    if not inside:
        actual = f"between {low:g} and {high:g}, as the errors of its modules are"
        yield Discrepancy("compression.relative_error", overall, actual)


def _all_exact(manifest: Manifest, names: Iterable[str]) -> bool:
    codecs = {one.tensor: one.codec for one in manifest.footprint}
    return all(is_exact(manifest, codecs[name]) for name in names)


def _by_kind(manifest: Manifest) -> dict[Kind, list[str]]:
    """The tensors that are carried, by kind of module."""
    found: dict[Kind, list[str]] = {}
    for entry in manifest.footprint:
        if entry.change != "removed":
            found.setdefault(kind_of(entry.tensor), []).append(entry.tensor)
    return found


def check_modules(manifest: Manifest, tensors: Mapping[str, DecodedTensor]) -> Discrepancies:
    """Codecs and bytes by kind of module, as the payload has them."""
    stated, actual = manifest.compression.modules, _by_kind(manifest)
    for kind in sorted(stated.keys() ^ actual.keys()):
        said = "present" if kind in stated else "absent"
        here = "present" if kind in actual else "absent"
        yield Discrepancy(f"compression.modules.{kind}", said, here)
    for kind in sorted(stated.keys() & actual.keys()):
        decoded = [tensors[name] for name in actual[kind]]
        codec = "+".join(sorted({one.codec for one in decoded}))
        stored = sum(one.stored for one in decoded)
        path = f"compression.modules.{kind}"
        if stated[kind].codec != codec:
            yield Discrepancy(f"{path}.codec", stated[kind].codec, codec)
        if stated[kind].bytes != stored:
            yield Discrepancy(f"{path}.bytes", stated[kind].bytes, stored)


def check_sketch(manifest: Manifest, tensors: Mapping[str, DecodedTensor]) -> Discrepancies:
    """The sketch is that of the decoded delta, bit for bit: every machine computes the same."""
    actual = sketch_of(tensors.items())
    if manifest.sketch != actual:
        yield Discrepancy("sketch", manifest.sketch, actual)
