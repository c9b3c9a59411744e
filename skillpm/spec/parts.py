"""Parts of a sentence-transformers model: modules in subfolders, listed in `modules.json`.

Follows sentence-transformers 6.2: `BaseModel.save` names a folder `{index}_{class}`, and
`Module.load_torch_weights` reads `model.safetensors`, else `pytorch_model.bin`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.config_numbers import check_numbers
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.json import scalars
from skillpm.spec.safetensors import LENGTH_BYTES, Header, header_length, parse_header

MODULES: Final = "modules.json"
WEIGHTS: Final = "model.safetensors"
PICKLE: Final = "pytorch_model.bin"
WEIGHTS_LIMIT = 1 << 29
"""Bytes of the weights of one part, which are read into memory."""
MODULE_LIMIT = 64
"""Modules of a model."""
_FOLDER = re.compile(r"[0-9]{1,3}_[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_CLASS = re.compile(
    r"sentence_transformers(?:\.[A-Za-z][A-Za-z0-9_]*){0,6}\.(?:models|modules)"
    r"(?:\.[A-Za-z][A-Za-z0-9_]*){0,6}\.[A-Z][A-Za-z0-9]*",
    re.ASCII,
)
_NAME_LENGTH = 128
_KEYS = frozenset({"idx", "name", "path", "type", "kwargs"})
_SIDE_LIMIT = 1 << 13
"""The limit for numbers in the config of a part, unless one of its tensors is longer."""


def split_part(path: str) -> tuple[str, str] | None:
    """The folder and the file name of a path `FOLDER/FILE`; None for any other path."""
    folder, slash, name = path.partition("/")
    return (folder, name) if slash and name and "/" not in name else None


def is_part_folder(name: str) -> bool:
    """Whether a folder has a name that sentence-transformers gives to folders of modules."""
    return _FOLDER.fullmatch(name) is not None


def is_part_path(path: str) -> bool:
    """Whether a path is `modules.json` or `FOLDER/FILE` without hidden names."""
    part = split_part(path)
    return path == MODULES or (part is not None and not any(name.startswith(".") for name in part))


def folders_of(modules: Any) -> tuple[str, ...] | None:
    """The subfolders that a `modules.json` names, without the model's own folder (empty).

    None if it is not a list of modules. Libraries then ignore the file.
    """
    if not isinstance(modules, list) or not modules:
        return None
    paths = []
    for module in modules:
        named = isinstance(module, dict) and isinstance(module.get("type"), str)
        path = module.get("path") if named else None
        if not isinstance(path, str):
            return None
        paths.append(path.strip("/"))
    return tuple(path for path in dict.fromkeys(paths) if path)


def check_modules(content: Any, what: str) -> None:
    """Raise `SpecError` unless a `modules.json` lists only modules of sentence-transformers.

    Naming a class of another package would load that code.
    """
    folders = folders_of(content)
    if folders is None or len(content) > MODULE_LIMIT:
        raise SpecError(f"{what} is not a list of 1 to {MODULE_LIMIT} modules")
    used = [module["path"] for module in content if module["path"]]
    if len({path.casefold() for path in used}) < len(used):
        raise SpecError(f"{what} names a folder twice")
    for module in content:
        _check_module(module, what)


def _check_module(module: Mapping[str, Any], what: str) -> None:
    unknown = sorted(module.keys() - _KEYS)
    if unknown:
        raise SpecError(f"{what} has a module with the unknown key {unknown[0][:_NAME_LENGTH]!r}")
    path, kind, names = module["path"], module["type"], module.get("kwargs", [])
    if path and not is_part_folder(path):
        raise SpecError(
            f"{what} names the folder {path[:_NAME_LENGTH]!r}; expected a name like `1_Pooling`"
        )
    if len(kind) > 2 * _NAME_LENGTH or _CLASS.fullmatch(kind) is None:
        raise SpecError(
            f"{what} has a module of the class {kind[: 2 * _NAME_LENGTH]!r}; only classes of "
            "sentence-transformers are allowed, because a pack must not load code",
            hint="use the same modules of that package in base and tuned model",
        )
    plain = isinstance(names, list) and all(isinstance(n, str) and n.isidentifier() for n in names)
    if not plain or type(module.get("idx", 0)) is not int:
        raise SpecError(
            f"{what} has a module with an invalid `idx` or `kwargs`: expected a whole number and a "
            "list of names"
        )
    if not isinstance(module.get("name", ""), str):
        raise SpecError(f"{what} has a module with an invalid `name`: expected text")


def weights_header(data: bytes, what: str) -> Header:
    """The header of a safetensors file in memory. Raises `SpecError`."""
    length = header_length(data[:LENGTH_BYTES], len(data), what)
    return parse_header(data[LENGTH_BYTES : LENGTH_BYTES + length], len(data), what)


def check_part_numbers(config: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> None:
    """Raise `ValueError` if the config of a part asks for larger tensors than the part has.

    `specs` are the tensors of the part. Without tensors, the config allocates no memory.
    """
    if not specs:
        return
    check_numbers(config, specs)
    longest = max(max(spec.shape, default=1) for spec in specs.values())
    for key, value in scalars(config):
        if isinstance(value, int) and abs(value) > max(longest, _SIDE_LIMIT):
            raise ValueError(
                f"`{key}` is {value} in the config, but the longest tensor dimension is {longest}"
            )


def comparable_bytes(path: str, data: bytes) -> bytes:
    """The bytes by which a file of a part is compared: JSON in canonical form, others unchanged."""
    if not path.endswith(".json"):
        return data
    try:
        return json.canonical(json.parse(data, f"`{path}`", foreign=True), foreign=True)
    except SpecError:
        return data
