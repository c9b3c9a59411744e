"""`inspect --plot`: plot the bytes and errors of a pack by layer, from the pack alone."""

from collections.abc import Mapping
from functools import partial
from itertools import accumulate
from math import exp, isfinite, log, sqrt
from pathlib import Path
from typing import Any

from skillpm.delta.codecs.table import CODECS
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.module_kinds import KINDS, block_of, kind_of
from skillpm.delta.tensors.ports import CHUNK
from skillpm.errors import SpecError
from skillpm.flows.packs.protocol import AnyPack
from skillpm.journal.atomic import write_atomic
from skillpm.pictures.draw import png
from skillpm.pictures.parts import Cells, Column, Curve, Picture
from skillpm.spec.manifest import Compression, FootprintEntry, Kind
from skillpm.verification.evidence import shown

_SAMPLES = 4
"""Chunks of a tensor that are decoded to estimate ‖Δ̂‖²."""
_GAP = 64
Sizes = Mapping[str, int]
Energies = Mapping[str, float]


def write_picture(pack: AnyPack, path: Path) -> None:
    """Draw a pack and write the PNG to `path` atomically.

    Decodes a few chunks of each tensor if the manifest records no curve. Raises `IntegrityError`
    for a damaged layer, `SpecError` for an invalid table in the manifest.
    """
    write_atomic(path, png(picture_of(pack)))


def picture_of(pack: AnyPack) -> Picture:
    """Return the data of the plot."""
    manifest = pack.manifest
    compression = manifest.compression
    opened = OpenPack.of(manifest, pack.open_layer)
    sizes = {entry.tensor: _stored(opened, entry) for entry in manifest.footprint}
    errors = _errors(manifest.footprint, compression)
    columns = _columns({_column(entry.tensor) for entry in manifest.footprint})
    kinds = [kind for kind in KINDS if any(kind_of(name) == kind for name in sizes)]
    cells = partial(_cells, manifest.footprint, kinds, columns)
    parts = sum(sizes.values())
    unit = "tensors" if "errors" in compression.settings else "kinds of module"
    return Picture(
        title=f"{manifest.ref}: {compression.scheme}, {_kilo(pack.size)} for a delta of "
        f"{_kilo(compression.delta_bytes)}",
        kinds=tuple(kinds),
        columns=columns,
        bytes=cells(lambda entries: float(sum(sizes[entry.tensor] for entry in entries))),
        bytes_title=f"Bytes: {_kilo(parts)} of tensors, and {_kilo(pack.size - parts)} of headers, "
        "manifest and files",
        errors=cells(lambda entries: _combined(entries, errors)),
        errors_title=f"Relative error, as recorded for {unit}",
        curve=_curve(pack, opened, sizes),
    )


def _kilo(count: float) -> str:
    return f"{count / 1000:,.1f} kB"


def _stored(opened: OpenPack, entry: FootprintEntry) -> int:
    return opened.reader(entry.layer).stored_bytes(entry.tensor) if entry.layer else 0


def _column(tensor: str) -> Column:
    """Return the column of a tensor's layer; the unnumbered column if its block has no number."""
    block = block_of(tensor)
    stack, _, number = block.rpartition(".")
    numbered = number.isascii() and number.isdigit()
    return Column(stack, number.lstrip("0") or "0") if numbered else Column(None, "")


def _columns(present: set[Column]) -> tuple[Column, ...]:
    """Order the columns: first the unnumbered one, then each stack; short gaps are filled."""
    columns = [Column(None, "")] if Column(None, "") in present else []
    for stack in sorted({column.stack for column in present if column.stack is not None}):
        numbers = {column.number for column in present if column.stack == stack}
        last = max(numbers, key=_in_order)
        short = len(last) <= len(str(_GAP * len(numbers)))
        if short and int(last) < _GAP + 4 * len(numbers):
            numbers |= {str(number) for number in range(int(last))}
        columns += [Column(stack, number) for number in sorted(numbers, key=_in_order)]
    return tuple(columns)


def _in_order(number: str) -> tuple[int, str]:
    """Return a sort key by value for decimal digits without leading zeros, of any length."""
    return len(number), number


def _cells(
    footprint: list[FootprintEntry], kinds: list[Kind], columns: tuple[Column, ...], value: Any
) -> Cells:
    """Return a value for the entries of each kind and layer; None if there are no entries."""
    places: dict[tuple[Kind, Column], list[FootprintEntry]] = {}
    for entry in footprint:
        places.setdefault((kind_of(entry.tensor), _column(entry.tensor)), []).append(entry)
    return tuple(
        tuple(
            value(places[kind, column]) if (kind, column) in places else None for column in columns
        )
        for kind in kinds
    )


def _errors(footprint: list[FootprintEntry], compression: Compression) -> dict[str, float | None]:
    """Return the relative error of each tensor, or None if it is unknown.

    Uses the tensor's entry in `settings["errors"]`, else the fixed error of its codec, else the
    error of its module kind.
    """
    table = compression.settings.get("errors", {})
    if not (isinstance(table, dict) and all(_is_number(value) for value in table.values())):
        raise SpecError(
            "compression.settings.errors of the manifest: expected a map from tensors to numbers, "
            f"found {shown(table)}"
        )
    known = {kind: module.relative_error for kind, module in compression.modules.items()}
    errors: dict[str, float | None] = {}
    for entry in footprint:
        codec = CODECS.get(entry.codec)
        default = known.get(kind_of(entry.tensor))
        if entry.change == "removed":
            default = 0.0
        elif codec is not None and codec.known_error is not None:
            default = codec.known_error
        errors[entry.tensor] = table.get(entry.tensor, default)
    return errors


def _combined(entries: list[FootprintEntry], errors: Mapping[str, float | None]) -> float | None:
    """Return the root mean square of the errors, weighted by the number of elements."""
    known = [(entry.spec.elements, errors[entry.tensor]) for entry in entries]
    parts = [(count, error) for count, error in known if error is not None and count]
    total = sum(count for count, _ in parts)
    return sqrt(sum(count * error**2 for count, error in parts) / total) if total else None


def _curve(pack: AnyPack, opened: OpenPack, sizes: Sizes) -> Curve:
    """Return the recorded rate-distortion curve, or else one computed from the pack."""
    compression = pack.manifest.compression
    recorded = compression.settings.get("curve")
    if recorded is None:
        return _own_curve(pack, opened, sizes)
    fits = isinstance(recorded, list) and recorded and all(map(_is_point, recorded))
    if not fits:
        raise SpecError(
            "compression.settings.curve of the manifest: expected pairs of bytes and distortion, "
            f"found {shown(recorded)}"
        )
    points = tuple(sorted((float(size), float(lost)) for size, lost in recorded))
    own = float(compression.payload_bytes)
    return Curve(
        points,
        (own, _between(points, own)),
        "bytes of payload",
        "distortion, as a share of an empty pack's",
        "Rate and distortion: the curve that `auto` recorded",
    )


def _is_number(value: Any) -> bool:
    """Whether a JSON value is a number that can be plotted: finite and not negative."""
    return type(value) in (int, float) and 0 <= value < 2.0**63 and isfinite(value)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))  # noqa: PLR2004


def _between(points: tuple[tuple[float, float], ...], size: float) -> float:
    """Interpolate the distortion at a size: log-log if both ends are positive, else linearly."""
    below = max((point for point in points if point[0] <= size), default=points[0])
    above = min((point for point in points if point[0] >= size), default=points[-1])
    if below[0] >= above[0] or size <= 0:
        return below[1]
    if not (below[0] and below[1] and above[1]):
        share = (size - below[0]) / (above[0] - below[0])
        return below[1] + share * (above[1] - below[1])
    share = log(size / below[0]) / log(above[0] / below[0])
    return below[1] * exp(share * log(above[1] / below[1]))


def _own_curve(pack: AnyPack, opened: OpenPack, sizes: Sizes) -> Curve:
    """Return the curve of adding tensors in order of bytes per energy, up to the recorded error."""
    estimated = _energies(pack, opened)
    kept = {name: energy for name, energy in estimated.items() if energy is not None}
    even = not kept
    counts = {e.tensor: e.spec.elements for e in pack.manifest.footprint if e.layer}
    density = sum(kept.values()) / sum(counts[name] for name in kept) if any(kept.values()) else 1.0
    energies = {name: kept.get(name, density * count) for name, count in counts.items()}
    order = sorted(energies, key=lambda name: (_price(sizes[name], energies[name]), name))
    error = min(1.0, pack.manifest.compression.relative_error or 0.0)
    whole_energy = sum(energies.values()) or 1.0
    spent = accumulate((sizes[name] for name in order), initial=0)
    reached = accumulate((energies[name] for name in order), initial=0.0)
    points = tuple(
        (float(size), sqrt(max(0.0, 1 - (1 - error**2) * min(1.0, energy / whole_energy))))
        for size, energy in zip(spent, reached, strict=True)
    )
    return Curve(
        points,
        (points[-1][0], error),
        "bytes of encoded parts",
        "remaining ‖Δ-Δ̂‖/‖Δ‖",
        "Rate and distortion, tensor by tensor"
        + (": all changed weights count the same" if even else ", by bytes per energy"),
    )


def _price(size: int, energy: float) -> float:
    return size / energy if energy else float("inf")


def _energies(pack: AnyPack, opened: OpenPack) -> dict[str, float | None]:
    """Estimate ‖Δ̂‖² of each tensor from a few chunks; None if Δ̂ depends on the base."""
    return {
        entry.tensor: _energy(opened, entry) for entry in pack.manifest.footprint if entry.layer
    }


def _energy(opened: OpenPack, entry: FootprintEntry) -> float | None:
    codec = CODECS.get(entry.codec)
    if entry.change != "changed" or (codec is not None and not codec.lossy):
        return None
    decoder = opened.decoder(entry.tensor, entry.spec)
    chunks = -(-entry.spec.elements // CHUNK)
    picked = sorted({number * chunks // _SAMPLES for number in range(_SAMPLES)})
    deltas = [decoder.delta_of(number) for number in picked]
    parts = [delta for delta in deltas if delta is not None]
    if len(parts) < len(deltas):  # the codec needs the base
        return None
    seen = sum(part.size for part in parts)
    squares = sum(float((part * part).sum()) for part in parts)
    return squares / seen * entry.spec.elements if seen else 0.0
