"""Which tensors and config keys of a model count its vocabulary: asked of its own resizing.

Run in the sandbox, on a model without values.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

MORE = 8
"""By how many words a model is made larger, to see what grows with it."""
_FAILS = (
    ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RuntimeError, IndexError,
)  # fmt: skip
_Shapes = dict[str, tuple[int, ...]]
_Path = tuple[str, ...]


def find_vocabulary(model: Any, build: Callable[[Any], Any]) -> dict[str, Any]:
    """Grow the model's vocabulary: `vocabulary` maps what grew to the axis, `vocabulary_keys`.

    The model is changed. `build` makes another of a config: it is asked where the class does not
    resize itself without values. Both answers are empty where neither is possible.
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
    """The model of a config whose sizes of a vocabulary are larger, those that count the rows."""
    plain = json.loads(json.dumps(model.config.to_dict(), default=str))
    for path, count in list(_numbers(plain)):
        if path[-1].endswith("vocab_size") and count == rows:
            table = plain
            for key in path[:-1]:
                table = table[key]
            table[path[-1]] = rows + MORE
    return build(type(model.config).from_dict(plain))


def _shapes(model: Any) -> _Shapes:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _grown(before: _Shapes, after: _Shapes) -> Iterator[tuple[str, int]]:
    for name, shape in before.items():
        other = after.get(name, shape)
        if len(other) == len(shape):
            axes = [axis for axis, size in enumerate(shape) if size != other[axis]]
            yield from ((name, axis) for axis in axes[:1])


def _numbers(config: Mapping[str, Any], path: _Path = ()) -> Iterator[tuple[_Path, int]]:
    """The whole numbers of a config and of its parts, by the keys that lead there."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*path, str(key)))
        elif isinstance(value, int) and not isinstance(value, bool):
            yield (*path, str(key)), value
