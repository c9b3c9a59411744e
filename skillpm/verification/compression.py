"""Check the compression statements: sizes, ratio, codecs by module kind, errors, sketch."""

from collections.abc import Iterable, Mapping
from math import isclose

from skillpm.delta.decoding.recompute import DecodedTensor, sketch_of
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.spec.compat import is_additive
from skillpm.spec.exactness import is_exact
from skillpm.spec.manifest import Kind, Manifest
from skillpm.verification.evidence import Discrepancies, Discrepancy

_ROUNDING = 1e-9
"""Relative tolerance: the overall error is the square root of sums in another order."""


def check_sizes(manifest: Manifest) -> Discrepancies:
    """Recompute `delta_bytes` and `ratio` from the footprint and `payload_bytes`."""
    stated = manifest.compression
    dense = sum(entry.spec.nbytes for entry in manifest.footprint if entry.change != "removed")
    if stated.delta_bytes != dense:
        yield Discrepancy("compression.delta_bytes", stated.delta_bytes, dense)
    ratio = round(dense / stated.payload_bytes, 4) if stated.payload_bytes else 0.0
    if stated.ratio != ratio:
        yield Discrepancy("compression.ratio", stated.ratio, ratio)


def check_errors(manifest: Manifest) -> Discrepancies:
    """Check that exact codecs have no error, and that the overall error fits those of the modules.

    The size of a lossy codec's error is a claim: recomputing it needs the tuned model.
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
        yield Discrepancy(path, stated, "0.0: all its codecs are exact")
    elif stated is None:
        yield Discrepancy(path, "nothing", "a number: some codecs are lossy")


def _check_overall(manifest: Manifest, modules: Mapping[Kind, list[str]]) -> Discrepancies:
    summed = {entry.tensor for entry in manifest.footprint if is_additive(entry)}
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
    in_range = low <= overall <= high or any(isclose(overall, e, rel_tol=_ROUNDING) for e in known)
    if not in_range:
        expected = f"between {low:g} and {high:g}, the range of its modules' errors"
        yield Discrepancy("compression.relative_error", overall, expected)


def _all_exact(manifest: Manifest, names: Iterable[str]) -> bool:
    codecs = {entry.tensor: entry.codec for entry in manifest.footprint}
    return all(is_exact(manifest, codecs[name]) for name in names)


def _by_kind(manifest: Manifest) -> dict[Kind, list[str]]:
    """Return the tensors in the payload, by module kind."""
    kinds: dict[Kind, list[str]] = {}
    for entry in manifest.footprint:
        if entry.change != "removed":
            kinds.setdefault(kind_of(entry.tensor), []).append(entry.tensor)
    return kinds


def check_modules(manifest: Manifest, tensors: Mapping[str, DecodedTensor]) -> Discrepancies:
    """Compare codecs and bytes by module kind with the payload."""
    stated, actual = manifest.compression.modules, _by_kind(manifest)
    for kind in sorted(stated.keys() ^ actual.keys()):
        presence = "present" if kind in stated else "absent"
        expected = "present" if kind in actual else "absent"
        yield Discrepancy(f"compression.modules.{kind}", presence, expected)
    for kind in sorted(stated.keys() & actual.keys()):
        decoded = [tensors[name] for name in actual[kind]]
        codec = "+".join(sorted({tensor.codec for tensor in decoded}))
        stored = sum(tensor.stored for tensor in decoded)
        path = f"compression.modules.{kind}"
        if stated[kind].codec != codec:
            yield Discrepancy(f"{path}.codec", stated[kind].codec, codec)
        if stated[kind].bytes != stored:
            yield Discrepancy(f"{path}.bytes", stated[kind].bytes, stored)


def check_sketch(manifest: Manifest, tensors: Mapping[str, DecodedTensor]) -> Discrepancies:
    """Compare the sketch with that of the decoded delta; every machine computes the same bits."""
    actual = sketch_of(tensors.items())
    if manifest.sketch != actual:
        yield Discrepancy("sketch", manifest.sketch, actual)
