"""The table of codecs: every codec that this version reads, by its name in a payload record."""

from collections.abc import Mapping
from types import MappingProxyType

from skillpm.delta.codecs import (
    bitmap,
    grid,
    lossless,
    lowrank,
    sign,
    svd,
    svd_ec,
    svd_ec_grid,
    topk,
    whole,
    zero,
)
from skillpm.delta.codecs.shared.protocol import Codec

_ALL = (
    lossless.CODEC,
    bitmap.CODEC,
    whole.CODEC,
    lowrank.CODEC,
    topk.CODEC,
    svd.CODEC,
    zero.CODEC,
    svd_ec.CODEC,
    grid.CODEC,
    svd_ec_grid.CODEC,
    sign.CODEC,
)
CODECS: Mapping[str, Codec] = MappingProxyType({codec.name: codec for codec in _ALL})
