"""What numba makes of kernels: no fused operations, no lock, and strict types."""

import importlib
import pkgutil
import re
import threading
from typing import Any

import numpy as np
import pytest

import skillpm.delta.kernels
from skillpm.delta.kernels.choice import numba_module
from skillpm.delta.kernels.kernel import KERNELS, U8, Kernel, OutI64, kernel

_FUSED = re.compile(r"^\s*(v?f[n]?m(?:add|sub|la|ls)\w*|llvm\.fma\S*)", re.MULTILINE)
"""Fused multiply-add of x86 (vfmadd213sd …) and of ARM (fmadd, fmla …)."""

for _module in pkgutil.iter_modules(skillpm.delta.kernels.__path__):
    importlib.import_module(f"skillpm.delta.kernels.{_module.name}")
ALL = list(KERNELS)


def _assembly(dispatcher: Any) -> str:
    return "\n".join(dispatcher.inspect_asm().values())


@pytest.mark.parametrize("made", ALL, ids=lambda made: made.function.__qualname__)
def test_no_kernel_has_fused_operations(
    made: Kernel[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # numba shows no assembly of code from a cache.
    from numba.core.caching import NullCache

    monkeypatch.setattr("skillpm.delta.kernels.kernel.CompiledCode", lambda _function: NullCache())
    own = Kernel(made.function, cached=True).compile()
    text = _assembly(own)
    assert "ret" in text
    assert _FUSED.findall(text) == []
    assert not own.targetoptions["fastmath"]
    assert own.targetoptions["nogil"]


def test_the_search_finds_fused_operations_where_they_are_allowed() -> None:
    numba = numba_module()
    assert numba is not None

    def fused(first: float, second: float, third: float) -> float:
        return first * second + third

    allowed = numba.njit("f8(f8, f8, f8)", fastmath={"contract"})(fused)
    strict = numba.njit("f8(f8, f8, f8)")(fused)
    assert _FUSED.findall(_assembly(strict)) == []
    features = str(numba.core.registry.cpu_target.target_context.codegen().magic_tuple())
    if "+fma" in features or features.startswith("('aarch64"):
        assert _FUSED.findall(_assembly(allowed))


def _wait_for(flag: U8, count: OutI64) -> int:
    """Count until the flag is set; give up after minutes."""
    while flag[0] == 0 and count[0] < 1 << 37:
        count[0] += 1
    return int(flag[0])


def test_a_kernel_leaves_the_interpreter_to_other_threads() -> None:
    waits = Kernel(_wait_for, cached=False)
    flag, count = np.zeros(1, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    flag[0] = 1
    assert waits(flag, count) == 1  # compiles
    flag[0] = 0
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(waits(flag, count)))
    thread.start()
    while not count[0]:
        assert thread.is_alive()
    flag[0] = 1
    thread.join()
    assert seen == [1]


def test_arguments_of_another_type_are_refused() -> None:
    made = next(made for made in ALL if made.function.__qualname__ == "count_coded")
    single = np.zeros(256, dtype=np.uint8)
    assert made(np.zeros(3, dtype=np.uint8), single) == 3
    for contexts in (np.zeros(3, dtype=np.int32), np.zeros((3, 1), dtype=np.uint8),
                     np.zeros(6, dtype=np.uint8)[::2]):  # fmt: skip
        with pytest.raises(TypeError):
            made(contexts, single)


def test_many_threads_compile_a_kernel_once() -> None:
    made = Kernel(_wait_for, cached=False)
    flag, count = np.ones(1, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    results: list[int] = []
    dispatchers: list[object] = []

    def call() -> None:
        dispatchers.append(made.compile())
        results.append(made(flag, count))

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1] * 6
    assert len({id(found) for found in dispatchers}) == 1


def test_kernels_are_known_by_distinct_names() -> None:
    names = [f"{made.function.__module__}.{made.function.__qualname__}" for made in ALL]
    assert len(set(names)) == len(names)
    assert kernel(_wait_for) in KERNELS
    KERNELS.pop()
