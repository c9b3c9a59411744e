"""`pack`: encode the difference between a tuned model and its base as a SkillPack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from skillpm.delta.encoding.schemes import Scheme
from skillpm.files.output import check_output
from skillpm.flows.pack.attachments import (
    Attach,
    Attachments,
    OmittedFile,
    collect_attachments,
)
from skillpm.flows.pack.encoded_delta import EncodedDelta, encode_delta
from skillpm.flows.pack.layer_cache import LayerCache
from skillpm.flows.pack.manifest import build_manifest
from skillpm.flows.pack.model_pair import ModelPair, PackRequest, pair_models
from skillpm.flows.pack.pack_file import write_file
from skillpm.flows.pack.scheme import EncodingTarget, settle_scheme
from skillpm.flows.pack.stage_plan import plan_encoding
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.store.scratch import disk_errors, scratch


@dataclass(frozen=True)
class Packed:
    """A pack that was written.

    `left_out` are files of the tuned model that the pack does not carry. `rounding` is the error of
    `--cast` relative to the norm of the delta; None if nothing was cast.
    """

    manifest: Manifest
    path: Path
    digest: Digest
    file_bytes: int
    left_out: tuple[OmittedFile, ...] = ()
    rounding: float | None = None


def pack(
    session: Session,
    request: PackRequest,
    scheme: Scheme | EncodingTarget,
    attach: Sequence[Attach] = (),
) -> Packed:
    """Encode the delta, measure it, check it and write the pack. A failed step writes no pack.

    Streams tensor by tensor. The functions in `attach` measure both models before the delta is
    encoded. Raises `GraftError` if the models do not differ or cannot be packed.
    """
    clean_up(session)
    check_output(request.path)
    models = pair_models(session, request)
    plan_encoding(session, models, scheme, attach)
    attachments = collect_attachments(session, models, attach)
    with scratch(session.home, "pack") as folder, disk_errors(folder):
        settled = settle_scheme(session, models, attachments, scheme, folder)
        delta = _probed(models, attachments, encode_delta(session, models, settled, folder))
        manifest = build_manifest(session.created, models, attachments, delta)
        written = write_file(session, request.path, manifest, attachments, delta)
    LayerCache(session.home, models).discard()
    return Packed(manifest, request.path, *written, attachments.left_out, delta.rounding)


def _probed(models: ModelPair, attachments: Attachments, delta: EncodedDelta) -> EncodedDelta:
    """The delta with its effect on the probes; an exact one needs no measurement."""
    if attachments.effect is None or delta.is_exact:
        return delta
    return replace(delta, probed=attachments.effect(delta.layers.open(models)))
