"""Bounds of a manifest's numbers and dates: what no honest pack exceeds is refused when read."""

from collections.abc import Iterator
from datetime import datetime

from skillpm.spec.manifest_parts import Capability, Compression, Provenance, RequiredCapability
from skillpm.spec.probes import METRICS

ERROR_LIMIT = 1e6
"""Of ‖Δ-Δ̂‖/‖Δ‖. A pack that decodes to nothing has 1; rounding noise can exceed a tiny delta."""
RATIO_LIMIT = 1e9
FLOPS_LIMIT = 1e36
Bounds = Iterator[tuple[str, str]]


def measure_checks(compression: Compression, provenance: Provenance) -> Bounds:
    """Ratio, relative errors and flops: each out of its bounds, as a pair of path and problem."""
    yield from _within("compression.ratio", compression.ratio, 0.0, RATIO_LIMIT)
    yield from _within("compression.relative_error", compression.relative_error, 0.0, ERROR_LIMIT)
    for kind, module in compression.modules.items():
        path = f"compression.modules.{kind}.relative_error"
        yield from _within(path, module.relative_error, 0.0, ERROR_LIMIT)
    yield from _within("provenance.flops", provenance.flops, 0.0, FLOPS_LIMIT)


def capability_checks(capabilities: list[Capability], required: list[RequiredCapability]) -> Bounds:
    """What no measurement of a metric gives, and measurements without a sample."""
    for position, one in enumerate(capabilities):
        path = f"capabilities[{position}]"
        if one.samples == 0:
            yield f"{path}.samples", "a measurement has one sample at least"
        for key, value in (("value", one.value), ("base_value", one.base_value)):
            yield from _of_metric(f"{path}.{key}", one.metric, value)
    for position, need in enumerate(required):
        path = f"requires_capabilities[{position}].at_least"
        yield from _of_metric(path, need.metric, need.at_least)


def date_problem(text: str) -> str | None:
    """Why a text is no date and time with a time zone (RFC 3339); None where it is."""
    try:
        zoned = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        zoned = False
    return None if zoned else f"{text[:40]!r} is no date and time with a time zone"


def _of_metric(path: str, metric: str, value: float | None) -> Bounds:
    """The range of a metric that skillpm measures; of any other nothing is known."""
    if metric in METRICS:
        yield from _within(path, value, *METRICS[metric].limits)


def _within(path: str, value: float | None, low: float, high: float) -> Bounds:
    if value is not None and not low <= value <= high:
        yield path, f"{value:g} lies outside {low:g} to {high:g}"
