"""The stored layer decodes to the same bytes for good (ADR 49).

From version 0.2.0 on, a tensor of the layer may be added, but none may be changed or removed:
`SKILLPM_UPDATE_GOLDEN=1` adds the tensors that are missing, and copies those that are stored.
"""

import json
import os

import pytest
from both_kernels import implementation
from delta_worlds import layer_of, new_writer
from golden_layer import DIGESTS, LAYER, decoded, read_layer, samples

from skillpm.delta.codecs import lossless
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadReader
from skillpm.delta.kernels.choice import NUMBA, NUMPY

SPECS = {spec.name: spec for spec, _ in samples()}


@pytest.fixture(scope="module")
def layer() -> PayloadReader:
    if os.environ.get("SKILLPM_UPDATE_GOLDEN"):
        _update()
    return read_layer()


def _update() -> None:
    stored = read_layer() if LAYER.exists() else None
    digests = json.loads(DIGESTS.read_text()) if stored else {}
    writer = new_writer()
    for spec, write in samples():
        if stored is not None and spec.name in stored.records:
            writer.copy(stored, spec.name)
        else:
            write(spec, writer)
    LAYER.write_bytes(layer_of(writer))
    found = {name: decoded(read_layer(), spec) for name, spec in SPECS.items()}
    DIGESTS.write_text(json.dumps({**found, **digests}, indent=2, sort_keys=True) + "\n")


@pytest.mark.parametrize("kernels", [NUMPY, NUMBA])
def test_golden_layer_decodes_to_the_recorded_bytes(kernels: str, layer: PayloadReader) -> None:
    recorded = json.loads(DIGESTS.read_text())
    with implementation(kernels):
        assert {name: decoded(layer, spec) for name, spec in SPECS.items()} == recorded


def test_golden_layer_has_every_codec_and_every_mode(layer: PayloadReader) -> None:
    records = layer.records.values()
    assert {record.codec for record in records} == CODECS.keys()
    modes = {mode for record in records for mode in record.settings.get("modes", "")}
    assert modes == lossless.MODES


@pytest.mark.parametrize("name", [name for name in SPECS if name.startswith("grid")])
def test_golden_grid_needs_the_reference_if_it_has_contexts_of_exponents(
    name: str, layer: PayloadReader
) -> None:
    record = layer.records[name]
    decoder = CODECS["grid"].open(SPECS[name], layer, record.settings)
    assert (decoder.delta_of(0) is None) == (name == "grid exponents")
