"""The tensors and config keys of a model whose size is that of the vocabulary.

They are found by resizing the vocabulary and comparing sizes. Runs in the sandbox, on a model
without values.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

MORE = 8
"""The number of tokens by which the vocabulary is enlarged."""
_FAILS = (
    ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RuntimeError, IndexError,
)  # fmt: skip
_Shapes = dict[str, tuple[int, ...]]
_Path = tuple[str, ...]


def find_vocabulary(model: Any, build: Callable[[Any], Any]) -> dict[str, Any]:
    """Enlarge the model's vocabulary and find what grows.

    Returns `vocabulary`, which maps each tensor that grows to the axis, and `vocabulary_keys`, the
    paths of the config's numbers that change. Both are empty if the vocabulary cannot be enlarged.
    The model is modified. `build` makes a model from a config; it is used if the model's class
    cannot resize a model without values.
    """
    shapes, counts = _shapes(model), dict(_numbers(model.config.to_dict()))
    try:
        rows = int(model.get_input_embeddings().weight.shape[0])
        larger = _resized(model, rows + MORE) or _rebuilt(model, rows, build)
    except _FAILS:
        larger = None
    if larger is None:
        return {"vocabulary": {}, "vocabulary_keys": []}
    grown = dict(_grown(shapes, _shapes(larger)))
    after = dict(_numbers(larger.config.to_dict()))
    keys = [list(path) for path, count in counts.items() if after.get(path, count) != count]
    return {"vocabulary": grown, "vocabulary_keys": sorted(keys)}


def _resized(model: Any, count: int) -> Any:
    try:
        with torch.device("meta"):
            model.resize_token_embeddings(count, mean_resizing=False)
    except _FAILS:
        return None
    return model


def _rebuilt(model: Any, rows: int, build: Callable[[Any], Any]) -> Any:
    """A model with a larger vocabulary, from a config in which every matching size is larger.

    Those are the keys that end in `vocab_size` and equal the number of the embedding's rows.
    """
    config = json.loads(json.dumps(model.config.to_dict(), default=str))
    for path, count in list(_numbers(config)):
        if path[-1].endswith("vocab_size") and count == rows:
            table = config
            for key in path[:-1]:
                table = table[key]
            table[path[-1]] = rows + MORE
    return build(type(model.config).from_dict(config))


def _shapes(model: Any) -> _Shapes:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _grown(before: _Shapes, after: _Shapes) -> Iterator[tuple[str, int]]:
    for name, shape in before.items():
        new_shape = after.get(name, shape)
        if len(new_shape) == len(shape):
            axes = [axis for axis, size in enumerate(shape) if size != new_shape[axis]]
            yield from ((name, axis) for axis in axes[:1])


def _numbers(config: Mapping[str, Any], path: _Path = ()) -> Iterator[tuple[_Path, int]]:
    """The integers in a config and in its nested configs, each with its path of keys."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*path, str(key)))
        elif isinstance(value, int) and not isinstance(value, bool):
            yield (*path, str(key)), value
