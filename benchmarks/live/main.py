"""Live skills: switching time, memory, and batches in which each row has another skill.

`python -m benchmarks.live [--model llama|encoder] [--width 256] [--layers 6] [--skills 50]
[--runs 7]`. The models are an untrained Llama and the encoder all-MiniLM-L6-v2. The skills are
LoRAs on all linear layers, in PEFT's layout and packed by skillpm; their weights are random, which
does not change the time. PEFT switches by `set_adapter`, and runs mixed batches by `adapter_names`.
All methods alternate on one thread, and medians are shown. Takes minutes.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch

from benchmarks.live.models import Subject, ask, said, subject, workplace
from benchmarks.tools.table import Table, add_output, publish

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = ("llama", "encoder")


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """The time of one call, of `repeat` in a row."""
    started = time.perf_counter()
    for _ in range(repeat):
        work()
    return (time.perf_counter() - started) / repeat


def races(work: dict[str, Callable[[], object]], runs: int, repeat: int = 1) -> dict[str, float]:
    """The median time of each method; the methods alternate."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for each in work.values():
        each()
    for _ in range(runs):
        for name, each in work.items():
            found[name].append(seconds(each, repeat))
    return {name: statistics.median(times) for name, times in found.items()}


def switching(made: Subject, names: list[str], model: Any, peft: Any, runs: int) -> Table:
    """From one skill to another and back to the base."""

    def enter(chosen: Any) -> Callable[[], object]:
        def work() -> None:
            with model.use_skill(chosen):
                pass

        return work

    def disable() -> None:
        with peft.disable_adapter():
            pass

    def cold() -> None:
        model._switch.cache.forget()  # noqa: SLF001 - what a first use costs
        model.warm(names[0])

    def two() -> None:
        peft.set_adapter("l1")
        peft.set_adapter("l0")

    ask("-C", made.folder / "project", "graft", "--only", names[0], "-o", made.folder / "graft")
    model.warm()
    quick = {"one skill, ready": enter(names[0]), "8 rows, ready": enter(names[:8])}
    times = races(quick, runs, 1000)
    slow = {
        "one skill, first use": cold,
        "PEFT set_adapter and back": two,
        "PEFT disable_adapter and back": disable,
        "load the merged model": lambda: made.plain(made.folder / "graft"),
    }
    times |= races(slow, runs)
    model.warm()
    table = Table(f"To a skill and back: {made.name}", ("way", "microseconds", "to ours"))
    for name, found in times.items():
        table.row(name, f"{1e6 * found:,.1f}", f"{found / times['one skill, ready']:,.0f}")
    return table


def memory(made: Subject, names: list[str]) -> Table:
    """Memory of several skills: attached, and ready for use."""
    table = Table(
        f"Memory of attached skills: {made.name}",
        (
            "skills",
            "payload kB",
            "ready kB",
            "RSS grew by kB",
            "ready to payload",
            "of a model each",
        ),
    )
    for count in dict.fromkeys(min(count, len(names)) for count in (1, 10, 50)):
        model = made.live()
        whole = sum(parameter.nbytes for parameter in model.parameters())
        gc.collect()
        before = psutil.Process().memory_info().rss
        model.warm(*names[:count])
        after = psutil.Process().memory_info().rss
        sizes = [model.skill_bytes()[name] for name in names[:count]]
        payload, ready = (sum(side) for side in zip(*sizes, strict=True))
        table.row(
            count,
            f"{payload / 1e3:,.0f}",
            f"{ready / 1e3:,.0f}",
            f"{(after - before) / 1e3:,.0f}",
            f"{ready / payload:.2f}",
            f"{ready / count / whole:.1%}",
        )
    return table


@torch.no_grad()
def batches(
    made: Subject, names: list[str], model: Any, peft: Any, runs: int
) -> tuple[Table, float]:
    """Batches in which each row has another skill."""
    table = Table(
        f"Rows a second, each row with another skill: {made.name}",
        (
            "batch",
            "base alone",
            "mixed",
            "one by one",
            "gain",
            "PEFT mixed",
            "PEFT one by one",
            "mixed to PEFT's",
        ),
    )
    worst = 0.0
    for rows in (8, 32):
        for length in made.lengths:
            ids = torch.randint(0, model.config.vocab_size, (rows, length))
            some = names[:rows]
            mixed, alone = _ours(model, ids, some), _singly(model, ids, some)
            worst = max(worst, float((mixed() - alone()).abs().max()))
            work: dict[str, Callable[[], object]] = {
                "base": partial(model, ids),
                "mixed": mixed,
                "alone": alone,
                "peft": _peft_mixed(peft, ids),
                "peft alone": _peft_singly(peft, ids),
            }
            found = {name: rows / took for name, took in races(work, runs).items()}
            shown = [f"{found[key]:,.0f}" for key in ("base", "mixed", "alone")]
            gain = f"{found['mixed'] / found['alone']:.1f}"
            others = [f"{found[key]:,.0f}" for key in ("peft", "peft alone")]
            ratio = f"{found['mixed'] / found['peft']:.1f}"
            table.row(f"{rows} rows of {length} tokens", *shown, gain, *others, ratio)
    return table, worst


def _ours(model: Any, ids: torch.Tensor, some: list[str]) -> Callable[[], torch.Tensor]:
    def work() -> torch.Tensor:
        with model.use_skill(some):
            return said(model(ids))

    return work


def _singly(model: Any, ids: torch.Tensor, some: list[str]) -> Callable[[], torch.Tensor]:
    def work() -> torch.Tensor:
        rows = []
        for row, skill in enumerate(some):
            with model.use_skill(skill):
                rows.append(said(model(ids[row : row + 1])))
        return torch.cat(rows)

    return work


def _peft_mixed(peft: Any, ids: torch.Tensor) -> Callable[[], object]:
    named = [f"l{row}" for row in range(len(ids))]
    return lambda: peft(input_ids=ids, adapter_names=named)


def _peft_singly(peft: Any, ids: torch.Tensor) -> Callable[[], object]:
    def work() -> None:
        for row in range(len(ids)):
            peft.set_adapter(f"l{row}")
            peft(input_ids=ids[row : row + 1])

    return work


@torch.no_grad()
def measure(made: Subject, names: list[str], arguments: argparse.Namespace) -> bool:
    """All tables of one model; whether the base's outputs are bit-identical afterwards."""
    publish(memory(made, names), arguments.append)
    model, peft = made.live(), made.with_peft()
    ids = torch.arange(64)[None]
    before = said(model(ids))
    publish(switching(made, names, model, peft, arguments.runs), arguments.append)
    table, worst = batches(made, names, model, peft, arguments.runs)
    publish(table, arguments.append)
    same = torch.equal(said(model(ids)), before)
    print(f"{made.name}: back at the base: {'the same bits' if same else 'DIFFERENT'}")
    print(f"{made.name}: mixed and one by one differ by {worst:.1e} at most")
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", choices=MODELS, action="append", help="only this model (default: all)"
    )
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--skills", type=int, default=50)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--dir", type=Path, help="working folder, whose contents are reused")
    add_output(parser)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names = [f"acme/l{number}" for number in range(arguments.skills)]
    with workplace(arguments.dir) as folder:
        same = [
            measure(subject(name, folder, arguments), names, arguments)
            for name in arguments.model or MODELS
        ]
    sys.exit(0 if all(same) else "the base's outputs changed")


if __name__ == "__main__":
    main()
