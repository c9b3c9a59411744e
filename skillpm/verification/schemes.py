"""Check the scheme and its settings against the codecs in the payload."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from skillpm.delta.codecs import svd, topk
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.decoding.recompute import DecodedTensor
from skillpm.delta.encoding.effort import EFFORT_CODECS, NORMAL
from skillpm.delta.encoding.schemes import COLUMN_GROUPS, lossy_codec, split_rank
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.errors import SpecError
from skillpm.spec.budget import Budget
from skillpm.spec.compat import is_additive
from skillpm.spec.exactness import EXACT, FACTORS, holds_adapter, is_exact
from skillpm.spec.manifest import FootprintEntry, Manifest
from skillpm.verification.effects import (
    EFFECT,
    SETTINGS,
    check_effect,
    check_probed,
    is_number,
)
from skillpm.verification.evidence import Discrepancies, Discrepancy

Tensors = Mapping[str, DecodedTensor]
_OWN_KEYS = {
    "lossless": frozenset({"adapter", "effort"}),
    "graftllm": frozenset({"alpha", "energy", "rank", "mlp_rank", "columns", "group"}),
    "auto": frozenset({"budget", "keep", "curve"}) | EFFECT,
}
"""The settings that only one scheme has."""


def check_scheme(manifest: Manifest, tensors: Tensors, size: int) -> Discrepancies:
    """Check that codecs, counts and ranks follow from the scheme and its settings.

    `size` is the number of bytes of all blobs of the pack.
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
            expected = f"{scheme}: only that scheme has the setting `{foreign[0]}`"
            yield Discrepancy("compression.scheme", stated.scheme, expected)
    factors = [entry for entry in _carried(manifest) if entry.codec == FACTORS]
    if stated.scheme != "lossless" and factors:
        expected = f"lossless: `{factors[0].tensor}` holds an adapter's factors"
        yield Discrepancy("compression.scheme", stated.scheme, expected)
    yield from check_probed(stated.settings)
    yield from checks[stated.scheme]


def _carried(manifest: Manifest) -> list[FootprintEntry]:
    return [entry for entry in manifest.footprint if entry.change != "removed"]


def _check_lossless(manifest: Manifest, tensors: Tensors) -> Discrepancies:
    for entry in _carried(manifest):
        if not is_exact(manifest, entry.codec):
            expected = (
                f"a lossy scheme: `{entry.tensor}` is encoded with the lossy codec `{entry.codec}`"
            )
            yield Discrepancy("compression.scheme", "lossless", expected)
            return
    yield from _check_effort(manifest)
    if "adapter" in manifest.compression.settings:
        yield from _check_adapter(manifest, tensors)


def _check_effort(manifest: Manifest) -> Discrepancies:
    """Check that the effort is known, and that it tries the codecs in the payload."""
    path = f"{SETTINGS}.effort"
    effort = manifest.compression.settings.get("effort", NORMAL)
    if not isinstance(effort, str) or effort not in EFFORT_CODECS:
        yield Discrepancy(path, effort, " or ".join(EFFORT_CODECS))
        return
    codecs = {entry.codec for entry in _carried(manifest)} & set().union(*EFFORT_CODECS.values())
    for codec in sorted(codecs - EFFORT_CODECS[effort]):
        yield Discrepancy(path, effort, f"an effort that uses the codec `{codec}`")


def _check_adapter(manifest: Manifest, tensors: Tensors) -> Discrepancies:
    """Check ranks, kind and number of an adapter's updates against its factors in the payload.

    A tensor that is stored whole (for example of `modules_to_save`) has no factors to count.
    """
    path = f"{SETTINGS}.adapter"
    if not holds_adapter(manifest):
        yield Discrepancy(
            path,
            manifest.compression.settings["adapter"],
            "no adapter, or a complete record of one",
        )
        return
    stated = manifest.compression.settings["adapter"]
    records = [tensor.settings for tensor in tensors.values() if tensor.codec == FACTORS]
    ranks = sorted({record["rank"] for record in records})
    modules = stated.get("modules")
    if type(modules) is not int or modules < len(records):
        yield Discrepancy(f"{path}.modules", modules, f"at least {len(records)}")
    partly = type(modules) is int and modules > len(records)
    stated_ranks = stated.get("ranks")
    if not isinstance(stated_ranks, list) or not (
        all(rank in stated_ranks for rank in ranks) if partly else stated_ranks == ranks
    ):
        yield Discrepancy(f"{path}.ranks", stated_ranks, ranks)
    dora = any(record.get("axis") is not None for record in records)
    if stated.get("dora") is not dora and (records or type(stated.get("dora")) is not bool):
        yield Discrepancy(f"{path}.dora", stated.get("dora"), dora)
    yield from _check_positive(f"{path}.alpha", stated.get("alpha"))


def _check_positive(path: str, value: object) -> Discrepancies:
    if not is_number(value, low=2.0**-60):
        yield Discrepancy(path, value, "a positive number")


def _check_graftllm(manifest: Manifest, tensors: Tensors) -> Discrepancies:
    settings = manifest.compression.settings
    shares = [
        key for key in ("alpha", "energy", "rank", "mlp_rank") if not _is_share(settings, key)
    ]
    for key in shares:
        yield Discrepancy(f"{SETTINGS}.{key}", settings.get(key), "a number above 0 and at most 1")
    columns, group = settings.get("columns"), settings.get("group")
    has_columns = isinstance(columns, str) and columns in COLUMN_GROUPS
    if not has_columns:
        yield Discrepancy(f"{SETTINGS}.columns", columns, " or ".join(COLUMN_GROUPS))
    if type(group) is not int or group < 1:
        yield Discrepancy(f"{SETTINGS}.group", group, "a positive whole number")
    elif not shares and has_columns:
        checks = (_check_tensor(manifest, entry, tensors) for entry in _carried(manifest))
        yield from chain.from_iterable(checks)


def _is_share(settings: Mapping[str, Any], key: str) -> bool:
    return is_number(settings.get(key), low=2.0**-60, high=1.0)


def _check_tensor(manifest: Manifest, entry: FootprintEntry, tensors: Tensors) -> Discrepancies:
    """Check a tensor of `graftllm`: name and shape give its codec, the settings its size."""
    codec = lossy_codec(entry.spec) if is_additive(entry) else None
    fits = entry.codec == codec if codec else entry.codec in EXACT
    settings, record = manifest.compression.settings, tensors[entry.tensor].settings
    if not fits:
        expected = f"the codec `{codec or 'lossless'}` for `{entry.tensor}`, or another scheme"
        yield Discrepancy("compression.scheme", "graftllm", expected)
    elif codec == topk.NAME:
        kept, limit = sum(record["counts"]), round(settings["alpha"] * entry.spec.elements)
        if kept > limit:
            expected = (
                f"a larger value: `{entry.tensor}` keeps {kept} of {entry.spec.elements} elements"
            )
            yield Discrepancy(f"{SETTINGS}.alpha", settings["alpha"], expected)
    elif codec == svd.NAME:
        yield from _check_svd(settings, entry, record)


def _check_svd(
    settings: Mapping[str, Any], entry: FootprintEntry, record: Mapping[str, Any]
) -> Discrepancies:
    if record["group"] != settings["group"]:
        yield Discrepancy(f"{SETTINGS}.group", settings["group"], record["group"])
    lesser = min(matrix_shape(entry.spec))
    columns = [tuple(group) for group in record["columns"]]
    rank = sum(count for _, count in columns)
    groups = split_rank(rank, lesser, settings["columns"])
    if columns != [(group.bits, group.count) for group in groups]:
        expected = f"the columns of `{entry.tensor}`: {columns}"
        yield Discrepancy(f"{SETTINGS}.columns", settings["columns"], expected)
    key = "mlp_rank" if kind_of(entry.tensor) == "mlp" else "rank"
    limit = max(1, round(settings[key] * lesser))
    if rank > limit or (rank < limit and key == "rank"):
        expected = f"the rank of `{entry.tensor}`: {rank} of {lesser}"
        yield Discrepancy(f"{SETTINGS}.{key}", settings[key], expected)


def _check_auto(manifest: Manifest, size: int) -> Discrepancies:
    """Check that the pack is within its budget, and that the other settings are in range."""
    settings = manifest.compression.settings
    if not {"budget", "keep"} & settings.keys():
        yield Discrepancy(
            SETTINGS, "neither `budget` nor `keep`", "one of them, which `auto` needs"
        )
    if "keep" in settings and not _is_share(settings, "keep"):
        yield Discrepancy(f"{SETTINGS}.keep", settings["keep"], "a number above 0 and at most 1")
    if "budget" in settings:
        yield from _check_budget(settings["budget"], manifest.compression.delta_bytes, size)
    yield from check_effect(settings)
    if not _is_curve(settings.get("curve")):
        yield Discrepancy(
            f"{SETTINGS}.curve",
            settings.get("curve"),
            "a list of pairs: bytes and a share of the distortion",
        )


def _check_budget(text: object, dense: int, size: int) -> Discrepancies:
    try:
        limit = Budget.parse(text if isinstance(text, str) else "").bytes_of(dense)
    except SpecError:
        yield Discrepancy(f"{SETTINGS}.budget", text, "a budget like `5%` or `80MB`")
        return
    if size > limit:
        yield Discrepancy(f"{SETTINGS}.budget", text, f"a larger budget: the pack has {size} bytes")


def _is_curve(curve: object) -> bool:
    """Whether this is a list of (bytes, share of the distortion), finite and not negative."""
    if not isinstance(curve, list):
        return False
    points = [point for point in curve if isinstance(point, list) and len(point) == 2]  # noqa: PLR2004 - a pair
    return len(points) == len(curve) and all(
        is_number(number) for point in points for number in point
    )
