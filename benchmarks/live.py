"""Live skills: time to switch, memory, and batches in which each row has another skill.

`python -m benchmarks.live [--width 256] [--layers 6] [--skills 50] [--runs 7]`. A Llama from
scratch with LoRAs of random weights on all its linear layers, made by PEFT and packed by skillpm:
what they know does not change how long they take. PEFT switches by `set_adapter`, and runs mixed
batches by `adapter_names`. All take turns on one thread, and medians are shown. Takes minutes.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import statistics
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

import skillpm
from benchmarks.table import Table, add_output, publish
from skillpm.cli import main as command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VOCABULARY = 2048
LENGTHS = (32, 1)


def ask(*words: object) -> None:
    """A command of ours, in this process."""
    with redirect_stdout(io.StringIO()):
        try:
            command_line([*map(str, words), "--json"])
        except SystemExit as done:
            if done.code:
                raise RuntimeError(words) from done


def make(folder: Path, asked: argparse.Namespace) -> list[str]:
    """The base, its adapters, and a project in which all of them are installed."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=asked.width,
        intermediate_size=asked.width * 11 // 4,
        num_hidden_layers=asked.layers,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    lora = LoraConfig(r=asked.rank, lora_alpha=asked.rank, target_modules="all-linear")
    get_peft_model(base, lora).save_pretrained(folder / "l0")
    shapes = load_file(folder / "l0" / "adapter_model.safetensors")
    names = []
    (folder / "project").mkdir()
    os.chdir(folder / "project")
    ask("init", "--base", folder / "base")
    for number in range(asked.skills):
        place = folder / f"l{number}"
        place.mkdir(exist_ok=True)
        text = (folder / "l0" / "adapter_config.json").read_text(encoding="utf-8")
        (place / "adapter_config.json").write_text(text, encoding="utf-8")
        tensors = {name: 0.02 * torch.randn_like(old) for name, old in shapes.items()}
        save_file(tensors, place / "adapter_model.safetensors", metadata={"format": "pt"})
        names.append(f"acme/l{number}")
        file = folder / f"l{number}.skillpack"
        ask("pack", folder / "base", place, "--name", names[-1], "--version", "1.0.0", "-o", file)
    ask("install", *(folder / f"l{number}.skillpack" for number in range(asked.skills)))
    return names


def with_peft(folder: Path, count: int) -> Any:
    """The base with so many adapters, as PEFT has them."""
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    model = PeftModel.from_pretrained(base, str(folder / "l0"), adapter_name="l0")
    for number in range(1, count):
        model.load_adapter(str(folder / f"l{number}"), adapter_name=f"l{number}")
    return model.eval()


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """The time of one call, of `repeat` in a row."""
    started = time.perf_counter()
    for _ in range(repeat):
        work()
    return (time.perf_counter() - started) / repeat


def races(work: dict[str, Callable[[], object]], runs: int, repeat: int = 1) -> dict[str, float]:
    """The median time of each; they take turns."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for each in work.values():
        each()
    for _ in range(runs):
        for name, each in work.items():
            found[name].append(seconds(each, repeat))
    return {name: statistics.median(times) for name, times in found.items()}


def switching(folder: Path, names: list[str], model: Any, peft: Any, runs: int) -> Table:
    """From one skill to another and back to the base."""

    def enter(chosen: Any) -> Callable[[], object]:
        def work() -> None:
            with model.skill(chosen):
                pass

        return work

    def disable() -> None:
        with peft.disable_adapter():
            pass

    def cold() -> None:
        model._switch.shelf.forget()  # noqa: SLF001 - what a first use costs
        model.warm(names[0])

    def two() -> None:
        peft.set_adapter("l1")
        peft.set_adapter("l0")

    def merged() -> None:
        AutoModelForCausalLM.from_pretrained(folder / "graft")

    ask("-C", folder / "project", "graft", "--only", names[0], "-o", folder / "graft")
    model.warm()
    quick = {"one skill, ready": enter(names[0]), "8 rows, ready": enter(names[:8])}
    times = races(quick, runs, 1000)
    slow = {
        "one skill, first use": cold,
        "PEFT set_adapter and back": two,
        "PEFT disable_adapter and back": disable,
        "load the merged model": merged,
    }
    times |= races(slow, runs)
    model.warm()
    table = Table("To a skill and back", ("way", "microseconds", "to ours"))
    for name, found in times.items():
        table.row(name, f"{1e6 * found:,.1f}", f"{found / times['one skill, ready']:,.0f}")
    return table


def memory(folder: Path, names: list[str], counts: list[int]) -> Table:
    """What so many skills take: attached, and ready."""
    table = Table(
        "Memory of attached skills",
        (
            "skills",
            "payload kB",
            "ready kB",
            "RSS grew by kB",
            "ready to payload",
            "of a model each",
        ),
    )
    for count in counts:
        (folder / "some").mkdir(exist_ok=True)
        model = skillpm.open(folder / "project").load()
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
def batches(names: list[str], model: Any, peft: Any, runs: int) -> tuple[Table, float]:
    """Batches in which each row has another skill."""
    table = Table(
        "Rows a second, each row with another skill",
        ("batch", "base alone", "mixed", "one by one", "gain", "PEFT mixed", "PEFT one by one"),
    )
    worst = 0.0
    for rows in (8, 32):
        for length in LENGTHS:
            ids = torch.randint(0, VOCABULARY, (rows, length))
            some = names[:rows]
            mixed, alone = _ours(model, ids, some), _singly(model, ids, some)
            worst = max(worst, float((mixed() - alone()).abs().max()))
            work = {
                "base": lambda ids=ids: model(ids).logits,
                "mixed": mixed,
                "alone": alone,
                "peft": _peft_mixed(peft, ids),
                "peft alone": _peft_singly(peft, ids),
            }
            found = {name: rows / took for name, took in races(work, runs).items()}
            shown = [f"{found[key]:,.0f}" for key in ("base", "mixed", "alone")]
            gain = f"{found['mixed'] / found['alone']:.1f}"
            others = [f"{found[key]:,.0f}" for key in ("peft", "peft alone")]
            table.row(f"{rows} rows of {length} tokens", *shown, gain, *others)
    return table, worst


def _ours(model: Any, ids: torch.Tensor, some: list[str]) -> Callable[[], torch.Tensor]:
    def work() -> torch.Tensor:
        with model.skill(some):
            found: torch.Tensor = model(ids).logits
        return found

    return work


def _singly(model: Any, ids: torch.Tensor, some: list[str]) -> Callable[[], torch.Tensor]:
    def work() -> torch.Tensor:
        rows = []
        for row, skill in enumerate(some):
            with model.skill(skill):
                rows.append(model(ids[row : row + 1]).logits)
        return torch.cat(rows)

    return work


def _peft_mixed(peft: Any, ids: torch.Tensor) -> Callable[[], object]:
    named = [f"l{row}" for row in range(len(ids))]
    return lambda: peft(input_ids=ids, adapter_names=named).logits


def _peft_singly(peft: Any, ids: torch.Tensor) -> Callable[[], object]:
    def work() -> None:
        for row in range(len(ids)):
            peft.set_adapter(f"l{row}")
            peft(input_ids=ids[row : row + 1])

    return work


@contextmanager
def place(named: Path | None) -> Iterator[Path]:
    """Where to work, with a home of its own."""
    made = nullcontext(str(named)) if named else tempfile.TemporaryDirectory(prefix="skillpm-live-")
    with made as name:
        os.environ.update(SKILLPM_HOME=f"{name}/home", SKILLPM_CONFIG=f"{name}/none.toml")
        os.environ["HF_HUB_OFFLINE"] = "1"
        yield Path(name).absolute()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--skills", type=int, default=50)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--dir", type=Path, help="where to work, to use what is there again")
    add_output(parser)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with place(asked.dir) as folder:
        names = [f"acme/l{number}" for number in range(asked.skills)]
        if not (folder / "project" / "skillpm.lock").exists():
            names = make(folder, asked)
        publish(memory(folder, names, [n for n in (1, 10, 50) if n <= len(names)]), asked.append)
        model, peft = skillpm.open(folder / "project").load(), with_peft(folder, 32)
        ids = torch.arange(64)[None]
        with torch.no_grad():
            before = model(ids).logits
            publish(switching(folder, names, model, peft, asked.runs), asked.append)
            table, worst = batches(names, model, peft, asked.runs)
            publish(table, asked.append)
            same = torch.equal(model(ids).logits, before)
        print(f"back at the base: {'the same bits' if same else 'DIFFERENT'}")
        print(f"mixed and one by one differ by {worst:.1e} at most")
        sys.exit(0 if same else "the base's outputs changed")


if __name__ == "__main__":
    main()
