"""Run the targets in a limited child process and report the outcomes of the inputs.

    python tests/fuzz/fuzz_run.py --count 200000 [--only NAME]… [--share I/N] [--seed N]

One line per parser: inputs, refusals by family, the slowest (ms of processor time), peak memory (MB
above that at its start), findings. Inputs are a function of parser, seed and number.
"""

import argparse
import importlib
import os
import pickle
import pkgutil
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
for _folder in (HERE, HERE.parent, *(HERE.parent / name for name in ("spec", "delta", "golden"))):
    sys.path.insert(0, str(_folder))
sys.path.insert(0, str(HERE.parents[1]))

from fuzz_mutation import mutated  # noqa: E402 - the path comes first
from fuzz_target import Target, outcome_of  # noqa: E402
from fuzz_targets import all_targets  # noqa: E402

from skillpm.delta import kernels  # noqa: E402
from skillpm.delta.kernels.choice import numba_module  # noqa: E402
from skillpm.delta.kernels.kernel import KERNELS  # noqa: E402

SECONDS = 2.0
MEGABYTES = 500
_KEPT = 5


class TooSlowError(BaseException):
    """An input took more than `SECONDS` of processor time; no parser may catch this."""


@dataclass
class Tally:
    """Outcomes of a target's inputs; `findings` are its faults, each with the input's number."""

    name: str
    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    peak: float = 0.0
    findings: list[tuple[int, str]] = field(default_factory=list)
    faults: int = 0

    def line(self) -> str:
        """The line of the report."""
        families = ", ".join(f"{name} {n}" for name, n in sorted(self.outcomes.items()))
        return (
            f"{self.name:24} {self.inputs:7} inputs  {families:48} "
            f"slowest {self.slowest * 1e3:7.1f} ms  peak {self.peak:6.1f} MB  "
            f"{self.faults} findings"
        )


def input_of(target: Target, seed: int, number: int) -> bytes:
    """The input with this number."""
    random = Random(f"{target.name} {seed} {number}")
    return mutated(random.choice(target.seeds), random)


def run(target: Target, count: int, seed: int) -> Tally:
    """Try `count` inputs in this process, each with the time limit."""
    tally, start = Tally(target.name), _memory()
    for number in range(count):
        data = input_of(target, seed, number)
        tally.inputs += 1
        began = time.process_time()
        try:
            with _limited():
                tally.outcomes[outcome_of(target, data)] += 1
        except (Exception, TooSlowError):  # noqa: BLE001 - whatever it is is the finding
            tally.faults += 1
            if len(tally.findings) < _KEPT:
                tally.findings.append((number, traceback.format_exc(limit=-4)))
        tally.slowest = max(tally.slowest, time.process_time() - began)
        peak = _memory() - start
        if peak > MEGABYTES >= tally.peak:
            tally.faults += 1
            tally.findings.append((number, f"{peak:.0f} MB of memory"))
        tally.peak = max(tally.peak, peak)
    return tally


@contextmanager
def _limited() -> Iterator[None]:
    def stop(_signal: int, _frame: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _memory() -> float:
    """The peak memory of the process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def run_apart(target: Target, count: int, seed: int) -> Tally:
    """As `run`, in a separate child: a crash of the child is a finding."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        warnings.simplefilter("error")
        size = int((_memory() + 4 * MEGABYTES) * 1e6) + (8 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(run(target, count, seed), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    status = os.waitpid(child, 0)[1]
    if not data:
        return Tally(target.name, count, findings=[(-1, f"died with {status}")], faults=1)
    found: Tally = pickle.loads(data)  # noqa: S301 - our own child's
    return found


@cache
def compile_kernels() -> None:
    """Compile all kernels now: the time limit is for one input, and children inherit the code."""
    for module in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
        importlib.import_module(module.name)
    if numba_module() is not None:
        for one in KERNELS:
            one.compile()


def main() -> int:
    """Run all targets, or the named ones; return 1 if there is a finding."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--share", default="0/1", help="the I-th of N shares of the parsers")
    asked = parser.parse_args()
    faults, (share, shares) = 0, map(int, asked.share.split("/"))
    for number, target in enumerate(all_targets()):
        if (asked.only and target.name not in asked.only) or number % shares != share:
            continue
        if target.name.startswith(("codec", "entropy")):
            compile_kernels()
        tally = run_apart(target, asked.count, asked.seed)
        sys.stdout.write(f"{tally.line()}\n")
        for place, finding in tally.findings:
            sys.stdout.write(f"  input {place}: {finding}\n")
        sys.stdout.flush()
        faults += tally.faults
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
