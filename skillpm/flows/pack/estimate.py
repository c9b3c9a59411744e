"""`pack --dry-run`: what a pack would take, from the real encoder on samples (ADR 46).

Nothing is written: no file, no cache entry, no compiled code.
"""

import time
from collections.abc import Mapping

from skillpm.delta.kernels.choice import without_saving
from skillpm.files.output import check_output
from skillpm.flows.pack.attachments import collect_attachments
from skillpm.flows.pack.estimate_values import (
    PackEstimate,
    Sampler,
    SampleRequest,
    StageEstimate,
)
from skillpm.flows.pack.model_pair import ModelPair, PackRequest
from skillpm.flows.pack.sampled_run import Sampling, Spent, peak_bytes, resident_bytes
from skillpm.flows.pack.samples import group_tensors
from skillpm.flows.pack.unhashed import UnhashedModels, pair_unhashed
from skillpm.flows.session.session import Session
from skillpm.spec.merkle import LeafHasher

HASHED, PIECE = 1 << 24, 1 << 20
"""The bytes that are hashed to measure the speed, and those of each piece."""
PASSES = 64
"""The most times that a small model is hashed to measure the speed."""
STARTING, WRITING = "starting", "writing"


def estimate_pack(
    session: Session, request: PackRequest, sampler: Sampler, *, begun: Spent
) -> PackEstimate:
    """Estimate what `pack` would take. Raises the errors that it raises before it encodes.

    `begun` is the reading of the clocks before the libraries were imported. Costs the encoding and
    the decoding of some rows of a few tensors of each kind. Writes nothing.
    """
    check_output(request.path)
    with without_saving():
        return estimate_models(session, pair_unhashed(session, request), sampler, begun=begun)


def estimate_models(
    session: Session, unhashed: UnhashedModels, sampler: Sampler, *, begun: Spent
) -> PackEstimate:
    """Estimate what `pack` would take for models that are open, and may have any shapes."""
    models, sampling = unhashed.models, Sampling(session.workers)
    with without_saving():
        attachments = collect_attachments(session, models, ())
        groups = group_tensors(models.differing, sampler.group_entries)
        asked = SampleRequest(session, models, attachments, groups, sampling)
        starting = _start(asked, sampler, begun)
        floor = resident_bytes()
        sampled = sampler(asked)
    speed = _hash_seconds(models)
    size = sampled.file_bytes or asked.size_of(sampled.scheme, sampled.stored)
    stages = {label: speed * count for label, count in unhashed.hashed.items()}
    stages |= {**sampled.stages, WRITING: 2 * speed * size}
    return PackEstimate(
        models.request,
        sampled.scheme.name,
        session.workers,
        (StageEstimate(STARTING, starting.seconds, starting.processor), *_timed(stages, sampling)),
        memory_bytes=max(peak_bytes(), floor + sampled.held_bytes),
        model_bytes=sampled.model_bytes,
        file_bytes=size,
        delta_bytes=models.delta_bytes,
        sampled_bytes=sampled.sampled_bytes,
        notes=sampled.notes,
    )


def _start(asked: SampleRequest, sampler: Sampler, begun: Spent) -> Spent:
    """What is spent until tensors are encoded at full speed: imports, and loading of kernels."""
    sampler.warm_up(asked)
    return Spent.now().since(begun)


def _timed(stages: Mapping[str, float], sampling: Sampling) -> list[StageEstimate]:
    """The stages with their wall time: as many processors are busy as with the samples."""
    busy = sampling.parallelism
    return [StageEstimate(label, seconds / busy, seconds) for label, seconds in stages.items()]


def _hash_seconds(models: ModelPair) -> float:
    """Processor seconds to read and hash a byte of the base, in pieces spread over its tensors."""
    base = models.reference.base
    hasher, hashed, started = LeafHasher("U8", ()), 0, time.thread_time()
    names = sorted(base.specs, key=lambda name: -base.specs[name].nbytes)
    for _ in range(PASSES):
        for name in names[: HASHED // PIECE]:
            data = base.read_bytes(name, 0, min(PIECE, base.specs[name].nbytes))
            hasher.update(data)
            hashed += len(data)
        if hashed >= HASHED:
            break
    return (time.thread_time() - started) / max(1, hashed)
