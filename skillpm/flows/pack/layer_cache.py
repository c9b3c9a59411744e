"""Keep encoded layers in the skillpm home until the pack is written, so that `pack` can resume.

A folder below `cache/layers` belongs to one pair of models and one set of libraries. In it, a layer
is stored under a hash of its tensors' leaves and of the settings that encode them.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import file_digest
from pathlib import Path
from platform import python_version
from typing import Any

from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.pairing import Pair
from skillpm.errors import SkillpmError
from skillpm.files.access import open_below
from skillpm.files.ownership import is_owner_only
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import sweep_cache
from skillpm.libraries import installed
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.store.sealed_documents import load_sealed, save_sealed
from skillpm.version import __version__

FOLDER = "layers"
LEAST_BYTES = 1 << 20
"""Layers of fewer bytes of tensors are encoded again, which is faster than keeping them."""
_LIBRARIES = ("numpy", "torch", "numba", "zstandard")


@dataclass(frozen=True)
class KeptLayer:
    """The digest of a layer, and the codec and the stored bytes of each tensor in it."""

    digest: Digest
    codecs: Mapping[str, str]
    stored: Mapping[str, int]


@dataclass(frozen=True)
class LayerCache:
    """The encoded layers of one pair of models."""

    home: Path
    models: ModelPair

    @cached_property
    def name(self) -> str:
        """The name of the folder of this pair of models."""
        key = {
            "base": str(self.models.reference.identity.root),
            "tuned": str(self.models.tuned_identity.root),
            "versions": {name: installed(name) for name in _LIBRARIES},
            "python": python_version(),
            "tool": __version__,
        }
        return Digest.of(json.canonical(key)).hex[:32]

    def restore(self, pairs: Sequence[Pair], scheme: Scheme, path: Path) -> KeptLayer | None:
        """Link the layer of these pairs to `path`; None if it is not kept.

        The file is hashed at `path`. A damaged layer, or one that another user can write, counts as
        not kept.
        """
        key = self._key(pairs, scheme)
        if key is None or not is_owner_only(self.home / "cache" / FOLDER / self.name / key):
            return None
        content = load_sealed(self.home, FOLDER, self.name, _note(key))
        if content is None:
            return None
        try:
            kept = KeptLayer(Digest(content["layer"]), content["codecs"], content["stored"])
            with open_below(self.home, "cache", FOLDER, self.name) as folder:
                folder.check_regular(key)
                os.link(key, path, src_dir_fd=folder.fd, follow_symlinks=False)
            with path.open("rb") as file:
                if file_digest(file, "sha256").hexdigest() == kept.digest.hex:
                    return kept
        except (SkillpmError, KeyError, OSError):
            return None
        path.unlink()
        return None

    def save(self, pairs: Sequence[Pair], scheme: Scheme, path: Path, layer: KeptLayer) -> None:
        """Keep the layer at `path`. Errors of the file system are ignored.

        The note is written last: a layer without a note is ignored.
        """
        key = self._key(pairs, scheme)
        if key is None:
            return
        with (
            suppress(SkillpmError, OSError),
            open_below(self.home, "cache", FOLDER, self.name, create=True) as folder,
        ):
            folder.remove(key)
            os.link(path, key, dst_dir_fd=folder.fd, follow_symlinks=False)
            codecs, stored = dict(layer.codecs), dict(layer.stored)
            content = {"layer": str(layer.digest), "codecs": codecs, "stored": stored}
            save_sealed(self.home, (FOLDER, self.name, _note(key)), content)

    def discard(self) -> None:
        """Remove the layers of this pair of models, after its pack is written."""
        with suppress(SkillpmError, OSError), open_below(self.home, "cache", FOLDER) as folder:
            folder.remove_tree(self.name)

    def sweep(self, session: Session) -> None:
        """Remove old layers of other pairs of models, then the oldest above the size limit."""
        sweep_cache(self.home, FOLDER, session.now, keep=self.name)

    def _key(self, pairs: Sequence[Pair], scheme: Scheme) -> str | None:
        """A hash of everything that determines a layer; None if it is not worth keeping."""
        if sum(pair.tuned.nbytes for pair in pairs if pair.tuned) < LEAST_BYTES:
            return None
        keys = {pair.tensor: scheme.encoding_key(pair.tensor) for pair in pairs}
        if None in keys.values():
            return None
        before, after = self.models.reference.identity.leaves, self.models.tuned_identity.leaves
        tensors: list[Any] = [
            [asdict(pair), str(before.get(pair.tensor)), str(after[pair.read_name])]
            for pair in pairs
        ]
        return Digest.of(json.canonical({"tensors": tensors, "settings": keys})).hex


def _note(key: str) -> str:
    return f"{key}.json"
