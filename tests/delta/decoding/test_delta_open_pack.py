"""An open pack reads each layer once, however many tensors it has."""

import numpy as np
from delta_worlds import Model, encode_pack, numbers

from skillpm.delta.tensors.ports import ReadAt
from skillpm.spec.digests import Digest

_NAMES = [f"layers.{n % 3}.mlp.experts.{n}.weight" for n in range(300)]


def test_a_pack_of_many_tensors_opens_each_layer_once() -> None:
    base = Model({name: numbers("BF16", (4, 8), 1.0) for name in _NAMES})
    tuned = Model({name: numbers("BF16", (4, 8), 2.0) for name in _NAMES})
    pack = encode_pack(base, tuned)
    opened: list[Digest] = []
    open_layer = pack.open_layer

    def counting(layer: Digest) -> ReadAt:
        opened.append(layer)
        return open_layer(layer)

    pack.open_layer = counting
    pack.hash_layers()
    for name in _NAMES:
        words = np.concatenate([decoded for _, decoded, _ in pack.decode(name, base)])
        assert words.tobytes() == tuned.tensors[name][2]
    assert len(opened) == len(set(opened)) == 3
