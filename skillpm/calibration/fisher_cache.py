"""Sums of Fisher factors in the skillpm home, so that a killed calibration continues.

An entry is a folder `cache/fisher/KEY`. KEY is a hash of everything that determines the sums, so an
entry never becomes outdated. It holds one folder of safetensors files, one for each tensor, and
`index.json`, which names that folder and the digest of each file, and has a digest itself. The
index is written last, by a rename: a folder that no index names is unfinished and is ignored.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from shutil import disk_usage
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from skillpm.calibration.fisher import Fisher, factor_shapes
from skillpm.calibration.gather import SEED
from skillpm.delta.auto.weights import WIDEST, Kronecker
from skillpm.errors import SkillpmError
from skillpm.files.access import HomeFolder, open_below
from skillpm.running.runner import Batch, Runner
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.sealed import seal
from skillpm.store.sealed_documents import load_sealed
from skillpm.version import __version__

FOLDER = "fisher"
INDEX = "index.json"
_LIBRARIES = ("torch", "transformers", "safetensors", "tokenizers")
_HEADER = 1 << 12
"""The most bytes of a file beside its two tensors."""
_DISK_SHARE = 2
"""A snapshot is written only if this many times its size is free on the disk."""


def run_determinants(runner: Runner, batches: Iterable[Batch]) -> dict[str, Any]:
    """What determines the gradients of a model, beside its weights and config, as plain JSON.

    The tokens stand for text and tokenizer. The number of threads and the instructions of the
    processor decide the order of sums.
    """
    tokens = sha256()
    for batch in batches:
        for part in (batch.ids, batch.mask):
            tokens.update(f"{tuple(part.shape)} ".encode() + part.cpu().numpy().tobytes())
    is_cuda = runner.device.startswith("cuda")
    return {
        "tokens": tokens.hexdigest(),
        "device": torch.cuda.get_device_name(runner.device) if is_cuda else runner.device,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "dtype": str(runner.dtype),
        "seed": SEED,
        "widest": WIDEST,
        "versions": {name: version(name) for name in _LIBRARIES} | {"skillpm": __version__},
    }


@dataclass(frozen=True)
class FisherCache:
    """The entry of one calibration. `shapes` are the shapes of the tensors that have factors."""

    home: Path
    key: str
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(
        cls, home: Path, determinants: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
    ) -> "FisherCache":
        """The entry for sums that these values determine, as plain JSON."""
        return cls(home, Digest.of(json.canonical(dict(determinants))).hex, shapes)

    def restore(self, fisher: Fisher) -> None:
        """Put the saved sums into an empty `fisher`.

        It stays empty if there is no entry, if another user can write it, or if any file is
        damaged. Every file is hashed, and its dtype and shapes are compared with the tensor's.
        """
        index = load_sealed(self.home, FOLDER, self.key, INDEX)
        if index is None:
            return
        try:
            with open_below(self.home, "cache", FOLDER, self.key, index["folder"]) as files:
                for tensor, digest in index["tensors"].items():
                    fisher.put(tensor, self._read(files, tensor, digest))
            fisher.batches, fisher.count = int(index["batches"]), int(index["count"])
        except (SkillpmError, SafetensorError, KeyError, TypeError, ValueError, OSError):
            fisher.clear()

    def _read(self, files: HomeFolder, tensor: str, digest: str) -> Kronecker:
        """One tensor's sums. Raises `ValueError` unless they are those that the index names."""
        rows, columns = factor_shapes(self.shapes[tensor])
        size = 4 * (_elements(rows) + _elements(columns))
        data = files.read(_file(tensor), limit=size + _HEADER)
        if sha256(data).hexdigest() != digest:
            raise ValueError(tensor)
        parts = load(data)
        expected = {"columns": columns} | ({} if rows is None else {"rows": rows})
        actual = {name: tuple(part.shape) for name, part in parts.items()}
        if actual != expected or any(part.dtype != torch.float32 for part in parts.values()):
            raise ValueError(tensor)
        return Kronecker(parts.get("rows"), parts["columns"])

    def save(self, fisher: Fisher) -> None:
        """Replace the entry by the current sums.

        Nothing is saved if the cache cannot be written or the disk has too little space.
        """
        with suppress(SkillpmError, OSError):
            if disk_usage(self.home).free < _DISK_SHARE * fisher.size:
                return
            with open_below(self.home, "cache", FOLDER, self.key, create=True) as entry:
                name = f"{fisher.batches}-{os.urandom(8).hex()}"
                with entry.subfolder(name, create=True) as files:
                    digests = {tensor: _write(files, tensor, sums) for tensor, sums in fisher.sums}
                index = {
                    "batches": fisher.batches,
                    "count": fisher.count,
                    "folder": name,
                    "tensors": digests,
                }
                entry.write(INDEX, seal(index))
                for stale in entry.names():
                    if stale not in (name, INDEX):
                        entry.remove_tree(stale)


def _write(files: HomeFolder, tensor: str, sums: Kronecker) -> str:
    """Write one tensor's sums durably; return the SHA-256 digest of the file."""
    parts = {"columns": sums.columns} | ({} if sums.rows is None else {"rows": sums.rows})
    data = save(parts)
    with files.new_file(_file(tensor)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return sha256(data).hexdigest()


def _file(tensor: str) -> str:
    return f"{Digest.of(tensor.encode()).hex[:32]}.safetensors"


def _elements(shape: tuple[int, ...] | None) -> int:
    return 0 if shape is None else torch.Size(shape).numel()
