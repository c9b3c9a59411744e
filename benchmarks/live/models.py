"""The models of `benchmarks.live.main`, with skills for skillpm and for PEFT."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

import skillpm
from examples.code_search.encoder import packaged_model
from skillpm.cli import main as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

ADAPTERS = 32
"""Number of adapters that PEFT loads: the rows of the widest batch."""


@dataclass(frozen=True)
class Subject:
    """A base, the class that loads it, and the tested text lengths in tokens."""

    name: str
    folder: Path
    base: Path
    kind: Any
    lengths: tuple[int, int]

    def plain(self, path: Path) -> Any:
        """Load a model folder with transformers."""
        return self.kind.from_pretrained(path).eval()

    def live(self) -> Any:
        """The project's live model with all skills attached."""
        return skillpm.open_project(self.folder / "project").load_model()

    def with_peft(self) -> Any:
        """The base with PEFT adapters."""
        base = self.plain(self.base)
        model = PeftModel.from_pretrained(base, str(self.folder / "l0"), adapter_name="l0")
        for number in range(1, ADAPTERS):
            model.load_adapter(str(self.folder / f"l{number}"), adapter_name=f"l{number}")
        return model.eval()


def ask(*words: object) -> None:
    """Run a skillpm command in this process."""
    with redirect_stdout(io.StringIO()):
        try:
            command_line([*map(str, words), "--json"])
        except SystemExit as done:
            if done.code:
                raise RuntimeError(words) from done


def said(out: Any) -> torch.Tensor:
    """The logits of a language model, or the hidden states of an encoder."""
    found: torch.Tensor = out.logits if "logits" in out else out.last_hidden_state
    return found


def subject(name: str, place: Path, arguments: argparse.Namespace) -> Subject:
    """The untrained Llama or the packaged encoder, with a project that has LoRAs on it."""
    folder = place / name
    folder.mkdir(exist_ok=True)
    if name == "encoder":
        made = Subject(name, folder, packaged_model(), AutoModel, (32, 8))
    else:
        made = Subject(name, folder, folder / "base", AutoModelForCausalLM, (32, 1))
    if not (folder / "done").exists():
        if name != "encoder":
            _llama(arguments).save_pretrained(made.base)
        _install(made, arguments)
        (folder / "done").touch()
    return made


def _llama(arguments: argparse.Namespace) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048,
        hidden_size=arguments.width,
        intermediate_size=arguments.width * 11 // 4,
        num_hidden_layers=arguments.layers,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    return LlamaForCausalLM(config)


def _install(made: Subject, arguments: argparse.Namespace) -> None:
    """Pack adapters of random weights and install all of them in a project.

    An interrupted run continues with its finished packs.
    """
    folder = made.folder
    lora = LoraConfig(r=arguments.rank, lora_alpha=arguments.rank, target_modules="all-linear")
    get_peft_model(made.plain(made.base), lora).save_pretrained(str(folder / "l0"))
    shapes = load_file(folder / "l0" / "adapter_model.safetensors")
    text = (folder / "l0" / "adapter_config.json").read_text(encoding="utf-8")
    (folder / "project").mkdir(exist_ok=True)
    os.chdir(folder / "project")
    if not Path("skillpm.toml").exists():
        ask("init", "--base", made.base)
    for number in range(arguments.skills):
        file, place = folder / f"l{number}.skillpack", folder / f"l{number}"
        if file.exists():
            continue
        place.mkdir(exist_ok=True)
        (place / "adapter_config.json").write_text(text, encoding="utf-8")
        tensors = {name: 0.02 * torch.randn_like(old) for name, old in shapes.items()}
        save_file(tensors, place / "adapter_model.safetensors", metadata={"format": "pt"})
        ask("pack", made.base, place, "--name", f"acme/l{number}", "--version", "1.0.0", "-o", file)
    ask("install", *(folder / f"l{number}.skillpack" for number in range(arguments.skills)))


@contextmanager
def workplace(named: Path | None) -> Iterator[Path]:
    """A working folder with its own home."""
    with nullcontext(str(named)) if named else TemporaryDirectory(prefix="skillpm-live-") as name:
        os.environ.update(SKILLPM_HOME=f"{name}/home", SKILLPM_CONFIG=f"{name}/none.toml")
        os.environ["HF_HUB_OFFLINE"] = "1"
        yield Path(name).absolute()
