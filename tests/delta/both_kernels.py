"""Run a function with numba's kernels and with numpy's reference, and compare the results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from skillpm.delta.kernels.choice import NUMBA, NUMPY, SETTINGS
from skillpm.errors import SkillpmError


@contextmanager
def implementation(name: str) -> Iterator[None]:
    """Make every call in the block use this implementation."""
    with mock.patch.object(SETTINGS, "demanded", name):
        yield


def result_of(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result; the class and the message of an error instead, if one is raised."""
    with implementation(name):
        try:
            return function(*arguments)
        except (SkillpmError, ValueError) as problem:
            return type(problem), str(problem)


def agreed(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result, or the error, that both implementations give. Arrays have equal bits."""
    expected = result_of(NUMPY, function, *arguments)
    actual = result_of(NUMBA, function, *arguments)
    assert _comparable(actual) == _comparable(expected)
    return actual


def is_error(result: Any) -> bool:
    """Whether `agreed` returned an error."""
    return isinstance(result, tuple) and bool(result) and isinstance(result[0], type)


def _comparable(result: Any) -> Any:
    if isinstance(result, np.ndarray):
        return result.dtype, result.shape, result.tobytes()
    if isinstance(result, tuple):
        return tuple(_comparable(item) for item in result)
    return result
