"""A model in a folder, as transformers would find it, or in one safetensors file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from skillpm.checkpoint.damage import POINTER_BYTES, check_no_broken_links, check_no_pointer
from skillpm.checkpoint.files import OpenFile, ShardFile
from skillpm.checkpoint.parts import check_one_model, no_model_at
from skillpm.delta.tensors.ports import CHUNK
from skillpm.errors import IntegrityError, NotFoundError, SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import Identity, LeafHasher
from skillpm.spec.safetensors import (
    LENGTH_BYTES,
    Header,
    Placed,
    header_length,
    parse_header,
)

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_MODEL, _DIFFUSERS = "model", "diffusion_pytorch_model"
"""What transformers and diffusers name weights; a model in a folder has those of one of them."""
CONFIG = "config.json"
ADAPTER = "adapter_config.json"
_PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})


@dataclass(frozen=True)
class Shard:
    """One safetensors file of a model."""

    name: str
    file: OpenFile
    header: Header

    def chunks(self, placed: Placed) -> Iterator[bytes]:
        """The bytes of one of its tensors, in pieces of 2^20 words."""
        start = self.header.data_start + placed.start
        stop = self.header.data_start + placed.stop
        step = CHUNK * placed.spec.itemsize
        for position in range(start, stop, step):
            yield self.file.read(position, min(position + step, stop))

    def header_bytes(self) -> bytes:
        """All bytes before the tensors. Raises `IntegrityError` where they are not `header` now."""
        data = self.file.read(0, self.header.data_start)
        if parse_header(data[LENGTH_BYTES:], self.file.size, f"`{self.file.path}`") != self.header:
            raise IntegrityError(f"`{self.file.path}` was changed while it was being read")
        return data


@dataclass
class Checkpoint:
    """A model's tensors by name. What is read is not checked: see `VerifiedCheckpoint`.

    `index` is the document of the file `index_name` that maps tensors to shards, if there is one.
    """

    path: Path
    folder: Path | None
    shards: Mapping[str, Shard]
    index: Mapping[str, Any] | None
    index_name: str = INDEX
    specs: Mapping[str, TensorSpec] = field(init=False)
    _where: dict[str, tuple[Shard, Placed]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        where: dict[str, tuple[Shard, Placed]] = {}
        for shard in self.shards.values():
            for placed in shard.header.tensors:
                name = placed.spec.name
                if name in where:
                    first = where[name][0].name
                    raise SpecError(f"{name!r} stands in `{first}` and in `{shard.name}`")
                where[name] = (shard, placed)
        if not where:
            raise SpecError(f"`{self.path}` holds no tensors")
        self._where = where
        self.specs = {name: placed.spec for name, (_, placed) in where.items()}

    @property
    def config(self) -> dict[str, Any] | None:
        """`config.json`, where the folder has one."""
        if self.folder is None or not (self.folder / CONFIG).is_file():
            return None
        data = read_small(self.folder / CONFIG)
        return json.parse_object(data, f"`{self.folder / CONFIG}`", foreign=True)

    @property
    def architecture(self) -> str:
        """The first of the config's `architectures`, else its `model_type`, else `unknown`."""
        config = self.config or {}
        names = config.get("architectures") or [config.get("model_type")]
        first = names[0] if isinstance(names, list) else None
        return first if isinstance(first, str) else "unknown"

    @property
    def name(self) -> str:
        """What people call the model: the name of its folder or file."""
        return self.path.resolve().name

    def shard_of(self, tensor: str) -> Shard:
        """The file that holds a tensor."""
        return self._where[tensor][0]

    def chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's bytes in pieces of 2^20 words."""
        return self.raw_chunks(name)

    def raw_chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's bytes in the same pieces, for a caller that hashes them itself."""
        shard, placed = self._where[name]
        return shard.chunks(placed)

    def check_leaf(self, name: str, expected: Digest, actual: Digest) -> None:
        """Raise `IntegrityError` unless the bytes that were read of a tensor have its leaf."""
        if actual != expected:
            raise IntegrityError(
                f"`{name}` in `{self.path}` is not what it was: its leaf should be `{expected}`, "
                f"is `{actual}`",
                hint=f"`skillpm identify {self.path}` hashes the model again",
            )


@dataclass
class VerifiedCheckpoint(Checkpoint):
    """A model whose leaves are known: each tensor is hashed as it is read (law 5).

    Reading raises `IntegrityError` after the last bytes of a tensor that has changed since.
    """

    identity: Identity = field(kw_only=True)

    @classmethod
    def of(cls, model: Checkpoint, identity: Identity) -> Self:
        """The model, held to this identity."""
        return cls(
            model.path, model.folder, model.shards, model.index, model.index_name, identity=identity
        )

    def chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's bytes in pieces of 2^20 words, hashed on the way."""
        spec = self.specs[name]
        hasher = LeafHasher(spec.dtype, spec.shape)
        for data in self.raw_chunks(name):
            hasher.update(data)
            yield data
        self.check_leaf(name, self.identity.leaves[name], hasher.digest())


def open_checkpoint(path: Path) -> Checkpoint:
    """Find the model at `path`: a safetensors file, or a folder as transformers reads it.

    Raises `NotFoundError` where there is none, `SpecError` where it is not sound.
    """
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise NotFoundError(f"there is no model at `{path}`")
    if path.suffix.lower() in _PICKLED:
        raise SpecError(
            f"`{path}` is a pickle, which can run code: it is never loaded",
            hint="save the model as safetensors: `model.save_pretrained(DIR)`",
        )
    return Checkpoint(path, None, {path.name: open_shard(path)}, None)


def _open_folder(path: Path) -> Checkpoint:
    check_no_broken_links(path)
    if (path / ADAPTER).exists() and not (path / CONFIG).exists():
        raise SpecError(
            f"`{path}` is a PEFT adapter, not a model",
            hint=f"`skillpm pack BASE {path} --name N --version V` packs it",
        )
    check_one_model(path)
    for stem in (_MODEL, _DIFFUSERS):
        single, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
        if (path / single).exists():
            return Checkpoint(path, path, {single: open_shard(path / single)}, None)
        if (path / index).exists():
            return _open_sharded(path, index)
    found = sorted(entry for entry in path.iterdir() if entry.suffix == ".safetensors")
    if len(found) == 1:
        return Checkpoint(path, path, {found[0].name: open_shard(found[0])}, None)
    if found:
        raise SpecError(
            f"`{path}` has {len(found)} safetensors files, and neither `{SINGLE}` nor `{INDEX}` "
            "says which are the model"
        )
    pickles = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in _PICKLED)
    if pickles:
        raise SpecError(
            f"`{path}` has only pickles (`{pickles[0]}`), which can run code: none is ever loaded",
            hint="save the model as safetensors: `model.save_pretrained(DIR)`",
        )
    in_parts = no_model_at(path)
    if in_parts is not None:
        raise in_parts
    raise NotFoundError(f"there is no safetensors model in `{path}`")


def _open_sharded(path: Path, name: str) -> Checkpoint:
    file = path / name
    index = json.parse_object(read_small(file), f"`{file}`")
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(name, str) and _is_plain(name) for name in weight_map.values()
    ):
        raise SpecError(f"`{file}`: `weight_map` does not map tensors to plain file names")
    shards = {shard: open_shard(path / shard) for shard in sorted(set(weight_map.values()))}
    model = Checkpoint(path, path, shards, index, index_name=name)
    placed = {tensor: model.shard_of(tensor).name for tensor in model.specs}
    if placed != weight_map:
        wrong = min(name for name, _ in placed.items() ^ weight_map.items())
        raise SpecError(f"`{file}` and the shards disagree on where {wrong!r} is")
    return model


def _is_plain(name: str) -> bool:
    return (
        name.endswith(".safetensors") and "/" not in name and "\\" not in name and "\0" not in name
    )


def open_shard(path: Path) -> Shard:
    """Open one safetensors file and read its header. Raises `SpecError` where it is not sound."""
    what = f"`{path}`"
    file = ShardFile(path)
    check_no_pointer(file.read(0, min(POINTER_BYTES, file.size)), path)
    length = header_length(file.read(0, min(LENGTH_BYTES, file.size)), file.size, what)
    data = file.read(LENGTH_BYTES, LENGTH_BYTES + length)
    return Shard(path.name, file, parse_header(data, file.size, what))


def read_small(path: Path, limit: int = json.SIZE_LIMIT) -> bytes:
    """A whole small file. Raises `SpecError` where it has more than `limit` bytes."""
    file = OpenFile(path)
    if file.size > limit:
        raise SpecError(f"`{path}` is {file.size} bytes; at most {limit} are read")
    data = file.read(0, file.size)
    check_no_pointer(data, path)
    return data
