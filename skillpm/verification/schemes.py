"""The scheme that a manifest names, and its settings, against the codecs that were used."""

from collections.abc import Mapping
from itertools import chain
from math import isfinite
from typing import Any

from skillpm.delta.apply.recompute import DecodedTensor
from skillpm.delta.codecs import svd, topk
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.encode.schemes import COLUMN_GROUPS, lossy_codec, split_rank
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.errors import SpecError
from skillpm.spec.budget import Budget
from skillpm.spec.compat import is_additive
from skillpm.spec.exactness import EXACT, FACTORS, holds_adapter, is_exact
from skillpm.spec.manifest import FootprintEntry, Manifest
from skillpm.verification.evidence import Discrepancies, Discrepancy

Tensors = Mapping[str, DecodedTensor]
_SETTINGS = "compression.settings"
_OWN_KEYS = {
    "lossless": frozenset({"adapter"}),
    "graftllm": frozenset({"alpha", "energy", "rank", "mlp_rank", "columns", "group"}),
    "auto": frozenset({"budget", "keep", "scale", "curve", "divergence", "of"}),
}
"""The settings that a scheme has, and no other; what several have is in none."""


def check_scheme(manifest: Manifest, tensors: Tensors, size: int) -> Discrepancies:
    """Codecs, counts and ranks are those that the scheme gives with its settings.

    `size` are the bytes of all blobs of the pack.
    """
    stated = manifest.compression
    checks = {
        "lossless": _check_lossless(manifest, tensors),
        "graftllm": _check_graftllm(manifest, tensors),
        "auto": _check_auto(manifest, size),
    }
    if stated.scheme not in checks:
        yield Discrepancy("compression.scheme", stated.scheme, " or ".join(checks))
        return
    for scheme, keys in _OWN_KEYS.items():
        foreign = sorted(keys & stated.settings.keys())
        if scheme != stated.scheme and foreign:
            expected = f"{scheme}, whose setting `{foreign[0]}` is there"
            yield Discrepancy("compression.scheme", stated.scheme, expected)
    factors = [entry for entry in _carried(manifest) if entry.codec == FACTORS]
    if stated.scheme != "lossless" and factors:
        expected = f"lossless: `{factors[0].tensor}` holds an adapter's factors"
        yield Discrepancy("compression.scheme", stated.scheme, expected)
    yield from checks[stated.scheme]


def _carried(manifest: Manifest) -> list[FootprintEntry]:
    return [entry for entry in manifest.footprint if entry.change != "removed"]


def _check_lossless(manifest: Manifest, tensors: Tensors) -> Discrepancies:
    for entry in _carried(manifest):
        if not is_exact(manifest, entry.codec):
            expected = f"a lossy one: `{entry.tensor}` is encoded with `{entry.codec}`"
            yield Discrepancy("compression.scheme", "lossless", expected)
            return
    if "adapter" in manifest.compression.settings:
        yield from _check_adapter(manifest, tensors)


def _check_adapter(manifest: Manifest, tensors: Tensors) -> Discrepancies:
    """Ranks, kind and number of an adapter's updates, as far as the payload holds its factors.

    A module whose tensor is carried whole (`modules_to_save`, say) leaves no factors to count.
    """
    path = f"{_SETTINGS}.adapter"
    if not holds_adapter(manifest):
        yield Discrepancy(path, manifest.compression.settings["adapter"], "a record of an adapter")
        return
    stated = manifest.compression.settings["adapter"]
    records = [one.settings for one in tensors.values() if one.codec == FACTORS]
    ranks = sorted({record["rank"] for record in records})
    modules = stated.get("modules")
    if type(modules) is not int or modules < len(records):
        yield Discrepancy(f"{path}.modules", modules, f"at least {len(records)}")
    partly = type(modules) is int and modules > len(records)
    named = stated.get("ranks")
    if not isinstance(named, list) or not (set(ranks) <= set(named) if partly else named == ranks):
        yield Discrepancy(f"{path}.ranks", named, ranks)
    dora = any(record.get("axis") is not None for record in records)
    if stated.get("dora") is not dora and (records or type(stated.get("dora")) is not bool):
        yield Discrepancy(f"{path}.dora", stated.get("dora"), dora)
    yield from _check_positive(f"{path}.alpha", stated.get("alpha"))


def _is_number(value: object, low: float = 0.0, high: float = 2.0**53) -> bool:
    """Whether a value is a finite number between these, and no boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high and isfinite(value)


def _check_positive(path: str, value: object) -> Discrepancies:
    if not _is_number(value, low=2.0**-60):
        yield Discrepancy(path, value, "a positive number")


def _check_graftllm(manifest: Manifest, tensors: Tensors) -> Discrepancies:
    settings = manifest.compression.settings
    shares = [
        key for key in ("alpha", "energy", "rank", "mlp_rank") if not _is_share(settings, key)
    ]
    for key in shares:
        yield Discrepancy(f"{_SETTINGS}.{key}", settings.get(key), "a share: above 0, at most 1")
    columns, group = settings.get("columns"), settings.get("group")
    if columns not in COLUMN_GROUPS:
        yield Discrepancy(f"{_SETTINGS}.columns", columns, " or ".join(COLUMN_GROUPS))
    if type(group) is not int or group < 1:
        yield Discrepancy(f"{_SETTINGS}.group", group, "a positive whole number")
    elif not shares and columns in COLUMN_GROUPS:
        checks = (_check_tensor(manifest, entry, tensors) for entry in _carried(manifest))
        yield from chain.from_iterable(checks)


def _is_share(settings: Mapping[str, Any], key: str) -> bool:
    return _is_number(settings.get(key), low=2.0**-60, high=1.0)


def _check_tensor(manifest: Manifest, entry: FootprintEntry, tensors: Tensors) -> Discrepancies:
    """A tensor of `graftllm`: its codec follows from its name and shape, its size from settings."""
    codec = lossy_codec(entry.spec) if is_additive(entry) else None
    right = entry.codec == codec if codec else entry.codec in EXACT
    settings, record = manifest.compression.settings, tensors[entry.tensor].settings
    if not right:
        expected = f"`{codec or 'lossless'}` for `{entry.tensor}`, or another scheme"
        yield Discrepancy("compression.scheme", "graftllm", expected)
    elif codec == topk.NAME:
        kept, limit = sum(record["counts"]), round(settings["alpha"] * entry.spec.elements)
        if kept > limit:
            expected = f"more: `{entry.tensor}` keeps {kept} of {entry.spec.elements}"
            yield Discrepancy(f"{_SETTINGS}.alpha", settings["alpha"], expected)
    elif codec == svd.NAME:
        yield from _check_svd(settings, entry, record)


def _check_svd(
    settings: Mapping[str, Any], entry: FootprintEntry, record: Mapping[str, Any]
) -> Discrepancies:
    if record["group"] != settings["group"]:
        yield Discrepancy(f"{_SETTINGS}.group", settings["group"], record["group"])
    lesser = min(matrix_shape(entry.spec))
    columns = [tuple(group) for group in record["columns"]]
    rank = sum(count for _, count in columns)
    groups = split_rank(rank, lesser, settings["columns"])
    if columns != [(group.bits, group.count) for group in groups]:
        expected = f"others: `{entry.tensor}` has {columns}"
        yield Discrepancy(f"{_SETTINGS}.columns", settings["columns"], expected)
    key = "mlp_rank" if kind_of(entry.tensor) == "mlp" else "rank"
    limit = max(1, round(settings[key] * lesser))
    if rank > limit or (rank < limit and key == "rank"):
        expected = f"another: `{entry.tensor}` has rank {rank} of {lesser}"
        yield Discrepancy(f"{_SETTINGS}.{key}", settings[key], expected)


def _check_auto(manifest: Manifest, size: int) -> Discrepancies:
    """A budget that the pack keeps to; a share, a scale and a curve that can be such."""
    settings = manifest.compression.settings
    yield from _check_positive(f"{_SETTINGS}.scale", settings.get("scale"))
    if not {"budget", "keep"} & settings.keys():
        yield Discrepancy(_SETTINGS, "no target", "`auto`, which needs `budget` or `keep`")
    if "keep" in settings and not _is_share(settings, "keep"):
        yield Discrepancy(f"{_SETTINGS}.keep", settings["keep"], "a share: above 0, at most 1")
    if "budget" in settings:
        yield from _check_budget(settings["budget"], manifest.compression.delta_bytes, size)
    for key in ("divergence", "of"):
        value = settings.get(key, 0.0)
        if not _is_number(value):
            yield Discrepancy(f"{_SETTINGS}.{key}", value, "a number that is not negative")
    if not _is_curve(settings.get("curve")):
        yield Discrepancy(f"{_SETTINGS}.curve", settings.get("curve"), "pairs of bytes and a share")


def _check_budget(text: object, dense: int, size: int) -> Discrepancies:
    try:
        limit = Budget.parse(text if isinstance(text, str) else "").bytes_of(dense)
    except SpecError:
        yield Discrepancy(f"{_SETTINGS}.budget", text, "a budget like `5%` or `80MB`")
        return
    if size > limit:
        yield Discrepancy(f"{_SETTINGS}.budget", text, f"more: the pack has {size} bytes")


def _is_curve(curve: object) -> bool:
    """Whether this is points of (bytes, share of the distortion), both finite, none negative."""
    if not isinstance(curve, list):
        return False
    points = [point for point in curve if isinstance(point, list) and len(point) == 2]  # noqa: PLR2004 - a pair
    return len(points) == len(curve) and all(_is_number(n) for point in points for n in point)
