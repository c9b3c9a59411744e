"""Estimates of a pack of an adapter, whose factors `pack` applies, stores and reads again."""

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from skillpm.delta.codecs import lowrank
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.encoding.lora_source import Adapted, Factored, SourceTensor
from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks
from skillpm.flows.pack.estimate_values import SampleRequest
from skillpm.flows.pack.sampled_run import open_sample
from skillpm.flows.pack.samples import ENTRIES, Sample, SampledSource, spec_of

APPLYING = "applying the adapter"


@dataclass(frozen=True)
class SampledFactors:
    """Factors that were encoded and read again: bytes and processor seconds."""

    size: int
    encoding: float
    checking: float


def applying_seconds(asked: SampleRequest) -> float:
    """The processor seconds to compute all tensors that the adapter changes; 0 without one."""
    adapter = asked.models.adapter
    if adapter is None:
        return 0.0
    pairs = [pair for group in asked.groups for pair in group.sampled]
    times = asked.sampling.map(lambda pair: _apply(adapter.tensors, pair), pairs)
    found = {pair.tensor: seconds for pair, seconds in zip(pairs, times, strict=True)}
    return sum(found[near.tensor] for group in asked.groups for _, near in group.nearest())


def _apply(adapted: Adapted, pair: Pair) -> float:
    """The processor seconds of a tensor, from its first rows if the factors can be cut there."""
    part, share = _first_rows(adapted, pair)
    started = time.thread_time()
    part.leaf(pair.tensor)
    return share * (time.thread_time() - started)


def _first_rows(adapted: Adapted, pair: Pair) -> tuple[Adapted, float]:
    """The adapter on the first rows of a tensor, and the entries of the tensor over theirs.

    Only the plain update of a matrix [out, in] can be cut: B [out, rank] has its rows.
    """
    name, spec = pair.tensor, spec_of(pair)
    pending = adapted.updates.get(name)
    can_cut = adapted.factored(name) and pending is not None
    if pending is None or not can_cut or pending.transposed or pending.magnitude:
        return replace(adapted), 1.0
    rows = max(1, min(spec.shape[0], ENTRIES // max(1, prod(spec.shape[1:]))))
    base = SourceTensor(adapted.base, name)
    updates = {name: replace(pending, b=_cut(pending.b, rows))}
    return Adapted(_cut(base, rows).source, {}, updates), spec.shape[0] / rows


def _cut(stored: SourceTensor, rows: int) -> SourceTensor:
    """The first rows of a tensor, in memory."""
    spec = replace(stored.spec, shape=(rows, *stored.spec.shape[1:]))
    data = bytearray()
    for chunk in stored.source.chunks(stored.name):
        data += chunk
        if len(data) >= spec.nbytes:
            break
    kept = bytes(data[: spec.nbytes])
    return SourceTensor(SampledSource({stored.name: spec}, {stored.name: kept}), stored.name)


def run_factors(asked: SampleRequest, pair: Pair, scheme: Factored) -> SampledFactors:
    """Encode the whole factors of a tensor as `pack` does, and read them again."""
    models, name, started = asked.models, pair.tensor, time.thread_time()
    writer, out = PayloadWriter(io.BytesIO()), io.BytesIO()
    record = scheme.encode(pair, pair_chunks(models.reference.source, models.tuned, pair), writer)
    writer.write_to(out)
    encoded = time.thread_time()
    nothing = SampledSource({}, {})
    pack = open_sample(models, Sample(pair, nothing, nothing, 1.0), record.codec, out.getvalue())
    decoder = pack.decoder(name, models.reference.source.specs[name])
    lowrank.applies(decoder, scheme.adapted.update(name))
    return SampledFactors(out.tell(), encoded - started, time.thread_time() - encoded)


def with_applying(stages: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Stages that read the tuned model, each of which applies the adapter again."""
    if not seconds:
        return dict(stages)
    return {APPLYING: seconds, **{label: spent + seconds for label, spent in stages.items()}}


def factored_scheme(asked: SampleRequest, scheme: Scheme) -> Factored | None:
    """The scheme that stores the factors of the adapter; None if the scheme does not."""
    adapter = asked.models.adapter
    if adapter is None or scheme.name != "lossless":
        return None
    return Factored(scheme, adapter.tensors, adapter.settings)
