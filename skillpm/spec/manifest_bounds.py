"""Bounds for the numbers and dates of a manifest, which no valid pack exceeds."""

from collections.abc import Iterator
from datetime import datetime

from skillpm.spec.manifest_parts import Capability, Compression, Provenance, RequiredCapability
from skillpm.spec.probes import METRICS

ERROR_LIMIT = 1e6
"""The largest ‖Δ-Δ̂‖/‖Δ‖. It is 1 for Δ̂ = 0, and rounding noise can be larger than a tiny delta."""
RATIO_LIMIT = 1e9
FLOPS_LIMIT = 1e36
Bounds = Iterator[tuple[str, str]]


def measure_checks(compression: Compression, provenance: Provenance) -> Bounds:
    """Problems of ratio, relative errors and flops, as pairs of path and problem."""
    yield from _within("compression.ratio", compression.ratio, 0.0, RATIO_LIMIT)
    yield from _within("compression.relative_error", compression.relative_error, 0.0, ERROR_LIMIT)
    for kind, module in compression.modules.items():
        path = f"compression.modules.{kind}.relative_error"
        yield from _within(path, module.relative_error, 0.0, ERROR_LIMIT)
    yield from _within("provenance.flops", provenance.flops, 0.0, FLOPS_LIMIT)


def capability_checks(capabilities: list[Capability], required: list[RequiredCapability]) -> Bounds:
    """Problems of recorded and required values: out of the metric's range, or without samples."""
    for position, entry in enumerate(capabilities):
        path = f"capabilities[{position}]"
        if entry.samples == 0:
            yield f"{path}.samples", "expected at least 1, found 0"
        for key, value in (("value", entry.value), ("base_value", entry.base_value)):
            yield from _of_metric(f"{path}.{key}", entry.metric, value)
    for position, need in enumerate(required):
        path = f"requires_capabilities[{position}].at_least"
        yield from _of_metric(path, need.metric, need.at_least)


def date_problem(text: str) -> str | None:
    """The problem of a text that is not a date and time with a time zone (RFC 3339), else None."""
    try:
        zoned = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        zoned = False
    return None if zoned else f"expected a date and time with a time zone, found {text[:40]!r}"


def _of_metric(path: str, metric: str, value: float | None) -> Bounds:
    """Check a value of a metric that skillpm knows. Values of other metrics are not limited."""
    if metric in METRICS:
        yield from _within(path, value, *METRICS[metric].limits)


def _within(path: str, value: float | None, low: float, high: float) -> Bounds:
    if value is not None and not low <= value <= high:
        yield path, f"expected {low:g} to {high:g}, found {value:g}"
