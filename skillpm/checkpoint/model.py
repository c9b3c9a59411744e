"""Open a model: a folder, as transformers reads it, or one safetensors file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from skillpm.checkpoint.damage import POINTER_BYTES, check_no_broken_links, check_no_pointer
from skillpm.checkpoint.files import OpenFile, ShardFile
from skillpm.checkpoint.hub_cache import HubSnapshot
from skillpm.checkpoint.parts import check_one_model, no_model_at
from skillpm.delta.tensors.ports import CHUNK
from skillpm.errors import IntegrityError, NotFoundError, SpecError
from skillpm.files.named import missing_path_hint
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import Identity, LeafHasher
from skillpm.spec.safetensors import LENGTH_BYTES, Header, Placed, header_length, parse_header

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_MODEL, _DIFFUSERS = "model", "diffusion_pytorch_model"
"""The names of weight files in transformers and in diffusers."""
CONFIG = "config.json"
ADAPTER = "adapter_config.json"
_EXPECTED = "name a folder with `config.json` and safetensors files"
_PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})


@dataclass(frozen=True)
class Shard:
    """One safetensors file of a model."""

    name: str
    file: OpenFile
    header: Header

    def chunks(self, placed: Placed) -> Iterator[bytes]:
        """The bytes of one of the file's tensors, in pieces of 2^20 words."""
        start = self.header.data_start + placed.start
        stop = self.header.data_start + placed.stop
        step = CHUNK * placed.spec.itemsize
        for position in range(start, stop, step):
            yield self.file.read(position, min(position + step, stop))

    def read_bytes(self, placed: Placed, start: int, stop: int) -> bytes:
        """The bytes of one of the file's tensors from `start` until before `stop`."""
        first = self.header.data_start + placed.start
        return self.file.read(first + start, first + stop)

    def header_bytes(self) -> bytes:
        """All bytes before the tensors. Raises `IntegrityError` if the header has changed."""
        data = self.file.read(0, self.header.data_start)
        if parse_header(data[LENGTH_BYTES:], self.file.size, f"`{self.file.path}`") != self.header:
            raise IntegrityError(f"`{self.file.path}` was changed while it was being read")
        return data


@dataclass
class Checkpoint:
    """A model's tensors by name. What is read is not checked: see `VerifiedCheckpoint`.

    `index` is the content of the file `index_name`, which maps tensors to shards, if it exists.
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
                    raise SpecError(f"the tensor {name!r} is in both `{first}` and `{shard.name}`")
                where[name] = (shard, placed)
        if not where:
            raise SpecError(f"`{self.path}` contains no tensors")
        self._where = where
        self.specs = {name: placed.spec for name, (_, placed) in where.items()}

    @property
    def config(self) -> dict[str, Any] | None:
        """The content of `config.json`; None if the model has none."""
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
        """`org/model` for a model of a Hugging Face cache, else the name of the folder or file."""
        snapshot = HubSnapshot.at(self.path)
        return self.path.resolve().name if snapshot is None else snapshot.model.name

    @property
    def label(self) -> str:
        """The model in messages and hints: `org/model@commit`, or the path."""
        snapshot = HubSnapshot.at(self.path)
        return snapshot.model.label if snapshot and snapshot.is_in_cache else str(self.path)

    def shard_of(self, tensor: str) -> Shard:
        """The file that contains a tensor."""
        return self._where[tensor][0]

    def chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's bytes in pieces of 2^20 words."""
        return self.raw_chunks(name)

    def raw_chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's bytes in the same pieces without a check, for a caller that hashes them."""
        shard, placed = self._where[name]
        return shard.chunks(placed)

    def read_bytes(self, name: str, start: int, stop: int) -> bytes:
        """Some of the tensor's bytes, from `start` until before `stop`, without a check."""
        shard, placed = self._where[name]
        return shard.read_bytes(placed, start, stop)

    def check_leaf(self, name: str, expected: Digest, actual: Digest) -> None:
        """Raise `IntegrityError` unless the `actual` leaf of a tensor is the `expected` one."""
        if actual != expected:
            raise IntegrityError(
                f"`{name}` in `{self.path}` has changed: its leaf should be `{expected}`, but is "
                f"`{actual}`",
                hint=f"to hash the model again: `skillpm identify {self.path}`",
            )


@dataclass
class VerifiedCheckpoint(Checkpoint):
    """A model that is hashed as it is read (law 5). A tensor keeps the leaf that it has first.

    Reading raises `IntegrityError` after the last bytes of a tensor that has changed since.
    """

    _leaves: dict[str, Digest] = field(kw_only=True, repr=False)
    _identify: Callable[[Mapping[str, Digest]], Identity] = field(kw_only=True, repr=False)

    @classmethod
    def of(cls, model: Checkpoint, identity: Identity) -> Self:
        """The model, held to this identity."""
        return cls(
            model.path, model.folder, model.shards, model.index, model.index_name,
            _leaves=dict(identity.leaves), _identify=lambda _leaves: identity,
        )  # fmt: skip

    @classmethod
    def first_read(
        cls, model: Checkpoint, identify: Callable[[Mapping[str, Digest]], Identity]
    ) -> Self:
        """The model, held to the leaves of its first read, so that one read can do all the work.

        `identify` hashes the tensors that were not read before `identity` is asked for. Its
        argument are the leaves of the others.
        """
        return cls(
            model.path, model.folder, model.shards, model.index, model.index_name,
            _leaves={}, _identify=identify,
        )  # fmt: skip

    @cached_property
    def identity(self) -> Identity:
        """The identity of the model. After `first_read`, costs a read of the tensors not yet read.

        Raises the errors of reading.
        """
        identity = self._identify(dict(self._leaves))
        for name, leaf in identity.leaves.items():
            self.check_leaf(name, self._leaves.setdefault(name, leaf), leaf)
        return identity

    def chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's bytes in pieces of 2^20 words, hashed on the way."""
        spec = self.specs[name]
        hasher = LeafHasher(spec.dtype, spec.shape)
        for data in self.raw_chunks(name):
            hasher.update(data)
            yield data
        leaf = hasher.digest()
        self.check_leaf(name, self._leaves.setdefault(name, leaf), leaf)


def open_checkpoint(path: Path) -> Checkpoint:
    """Open the model at `path`: a safetensors file, or a folder as transformers reads it.

    Raises `NotFoundError` if there is none, and `SpecError` if it is invalid.
    """
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise NotFoundError(
            f"there is no model at `{path}`", hint=missing_path_hint(path, otherwise=_EXPECTED)
        )
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
            hint=f"to pack it: `skillpm pack ./base {path} --name acme/math --version 1.0.0`",
        )
    check_one_model(path)
    for stem in (_MODEL, _DIFFUSERS):
        single, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
        if (path / single).exists():
            return Checkpoint(path, path, {single: open_shard(path / single)}, None)
        if (path / index).exists():
            return _open_sharded(path, index)
    files = sorted(entry for entry in path.iterdir() if entry.suffix == ".safetensors")
    if len(files) == 1:
        return Checkpoint(path, path, {files[0].name: open_shard(files[0])}, None)
    if files:
        raise SpecError(
            f"`{path}` has {len(files)} safetensors files, but neither `{SINGLE}` nor `{INDEX}`: "
            "skillpm cannot tell which of them are the model"
        )
    pickles = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in _PICKLED)
    if pickles:
        raise SpecError(
            f"`{path}` has only pickles (`{pickles[0]}`), which can run code and are never loaded",
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
        raise SpecError(
            f"`{file}`: `weight_map` must map tensors to names of safetensors files in this folder"
        )
    shards = {shard: open_shard(path / shard) for shard in sorted(set(weight_map.values()))}
    model = Checkpoint(path, path, shards, index, index_name=name)
    placed = {tensor: model.shard_of(tensor).name for tensor in model.specs}
    if placed != weight_map:
        wrong = min(name for name, _ in placed.items() ^ weight_map.items())
        raise SpecError(f"`{file}` and the shards disagree on which shard contains {wrong!r}")
    return model


def _is_plain(name: str) -> bool:
    return (
        name.endswith(".safetensors") and "/" not in name and "\\" not in name and "\0" not in name
    )


def open_shard(path: Path) -> Shard:
    """Open one safetensors file and read its header. Raises `SpecError` if it is invalid."""
    what = f"`{path}`"
    file = ShardFile(path)
    check_no_pointer(file.read(0, min(POINTER_BYTES, file.size)), path)
    length = header_length(file.read(0, min(LENGTH_BYTES, file.size)), file.size, what)
    data = file.read(LENGTH_BYTES, LENGTH_BYTES + length)
    return Shard(path.name, file, parse_header(data, file.size, what))


def read_small(path: Path, limit: int = json.SIZE_LIMIT) -> bytes:
    """The content of a small file. Raises `SpecError` if it has more than `limit` bytes."""
    file = OpenFile(path)
    if file.size > limit:
        raise SpecError(f"`{path}` has {file.size} bytes; the limit is {limit}")
    data = file.read(0, file.size)
    check_no_pointer(data, path)
    return data
