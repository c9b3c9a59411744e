"""Safetensors files made by hand, valid and invalid."""

import json
from pathlib import Path
from typing import Any

Tensors = dict[str, tuple[str, list[int], bytes]]


def file_of(header: Any, data: bytes, *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensors_file(tensors: Tensors, metadata: dict[str, str] | None = None) -> bytes:
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end, data = 0, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(raw)]}
        end, data = end + len(raw), data + raw
    return file_of(header, data)


def write_file(path: Path, tensors: Tensors) -> Path:
    path.write_bytes(tensors_file(tensors))
    return path


def write_sharded(folder: Path, shards: dict[str, Tensors], **index: Any) -> Path:
    folder.mkdir()
    for name, tensors in shards.items():
        write_file(folder / name, tensors)
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    plain = {"metadata": {}, "weight_map": weight_map, **index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(plain))
    return folder
