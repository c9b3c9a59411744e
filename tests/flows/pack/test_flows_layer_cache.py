"""Finished layers are kept until the pack is written; a damaged one is encoded again."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from file_sessions import session_in
from plain_models import nudged, write_plain

from skillpm.delta.coding.payload import PayloadWriter, Record
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import Chunk
from skillpm.flows.pack.encoded_delta import Layers, encode_layers
from skillpm.flows.pack.layer_cache import LayerCache
from skillpm.flows.pack.model_pair import ModelPair, PackRequest, pair_models
from skillpm.flows.session.session import Session
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

LARGE, SMALL = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"


@dataclass(frozen=True)
class RecordingLossless(Lossless):
    """The scheme `lossless`; lists the tensors that it encodes."""

    encoded: list[str] = field(default_factory=list)

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        self.encoded.append(pair.tensor)
        return super().encode(pair, chunks, writer)


@dataclass(frozen=True)
class Packing:
    session: Session
    models: ModelPair
    folder: Path

    @property
    def cache(self) -> LayerCache:
        return LayerCache(self.session.home, self.models)

    @property
    def layer(self) -> Path:
        (path,) = self.folder.glob(f"home/cache/layers/{self.cache.name}/{'?' * 64}")
        return path

    def encode(self, name: str, scheme: Lossless | None = None) -> tuple[list[str], Layers]:
        """The tensors that were encoded, and the layers."""
        recording = RecordingLossless((scheme or Lossless()).effort)
        layers = encode_layers(self.session, self.models, recording, self.folder / name)
        return recording.encoded, layers


@pytest.fixture
def packing(tmp_path: Path) -> Packing:
    chance = np.random.default_rng(0)
    tensors = {
        LARGE: chance.standard_normal((512, 600), np.float32),
        SMALL: chance.standard_normal((5, 6), np.float32),
    }
    request = PackRequest(
        write_plain(tmp_path / "base", tensors),
        write_plain(tmp_path / "tuned", nudged(tensors, "mlp", 1)),
        SkillName.parse("acme/x"),
        Version.parse("1.0.0"),
    )
    (tmp_path / "home").mkdir()
    session = session_in(tmp_path)
    return Packing(session, pair_models(session, request), tmp_path)


def test_a_large_layer_is_not_encoded_twice(packing: Packing) -> None:
    first, whole = packing.encode("a")
    second, resumed = packing.encode("b")
    assert sorted(first) == [LARGE, SMALL]
    assert second == [SMALL]
    assert list(resumed.files) == list(whole.files)
    assert resumed.encoded == whole.encoded


def test_layers_of_another_effort_are_not_used(packing: Packing) -> None:
    packing.encode("a")
    assert LARGE in packing.encode("b", Lossless("fast"))[0]


@pytest.mark.parametrize("damage", ["a flipped bit", "cut off", "no note", "a false note", "open"])
def test_a_damaged_layer_is_encoded_again(packing: Packing, damage: str) -> None:
    _, whole = packing.encode("a")
    layer = packing.layer
    data = bytearray(layer.read_bytes())
    layer.unlink()
    note = layer.with_name(f"{layer.name}.json")
    if damage == "a flipped bit":
        data[len(data) // 2] ^= 1
    elif damage == "cut off":
        del data[-1]
    elif damage == "no note":
        note.unlink()
    elif damage == "a false note":
        note.write_text(note.read_text().replace("sha256:", "sha256:0", 1))
    layer.write_bytes(data)
    layer.chmod(0o666 if damage == "open" else 0o600)
    encoded, again = packing.encode("b")
    assert LARGE in encoded
    assert list(again.files) == list(whole.files)
    assert packing.encode("c")[0] == [SMALL]


def test_another_fine_tune_has_other_layers_and_a_written_pack_has_none(packing: Packing) -> None:
    packing.encode("a")
    equal = replace(packing.models, tuned_identity=packing.models.reference.identity)
    assert LayerCache(packing.session.home, equal).name != packing.cache.name
    packing.cache.discard()
    assert list((packing.session.home / "cache" / "layers").iterdir()) == []
