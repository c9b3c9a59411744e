"""Packs whose router signature is replaced; all their digests match."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from skillpm.archive.reader import open_pack
from skillpm.archive.writer import write_archive
from skillpm.routing.signature import Signature, parse_signature
from skillpm.spec import oci
from skillpm.spec.digests import Digest
from skillpm.spec.oci import Descriptor


def forged(path: Path, signature: bytes) -> Path:
    """Return the pack with another signature and matching digests."""
    pack = open_pack(path)
    blobs: dict[Digest, Path | bytes] = {one: pack.read(one) for one in pack.image.blobs}
    layers = [
        Descriptor(media_type=oci.ROUTER_TYPE, digest=Digest.of(signature), size=len(signature))
        if one.media_type == oci.ROUTER_TYPE
        else one
        for one in pack.image.layers
    ]
    image = pack.image.model_copy(update={"layers": layers})
    blobs = {one: blobs[one] for one in image.blobs if one in blobs}
    blobs[Digest.of(signature)] = signature
    target = path.with_name(f"forged-{path.name}")
    write_archive(target, image.canonical(), str(pack.manifest.version), blobs)
    return target


def scaled_backgrounds(path: Path, *others: Path) -> Path:
    """Return the pack with the examples of other packs, times 1.9, as its background."""
    signatures = [signature_in(one) for one in (path, *others)]
    rows = np.concatenate([one.examples for one in signatures[1:]])
    return forged(path, replace(signatures[0], background=1.9 * rows).dumps())


def signature_in(path: Path) -> Signature:
    pack = open_pack(path)
    (layer,) = pack.image.layer(oci.ROUTER_TYPE)
    return parse_signature(pack.read(layer.digest), pack.manifest.base.root, "it")
