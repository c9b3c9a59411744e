"""The merges that a graft of a LoRA is compared with; each is a process that writes a model."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.tools.running import Ran, run

if TYPE_CHECKING:
    from pathlib import Path

_PEFT = """
import sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, out = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
model = PeftModel.from_pretrained(model, adapter)
model.merge_and_unload().save_pretrained(out)
"""
_MERGEKIT = "models:\n  - model: {base}+{adapter}\nmerge_method: passthrough\ndtype: bfloat16\n"


def peft_merge(base: Path, adapter: Path, out: Path) -> Ran:
    """PEFT's merge, saved by transformers in bf16 at `out`, which must not exist."""
    command = (sys.executable, "-W", "ignore", "-c", _PEFT)
    return run(*command, str(base), str(adapter), str(out))


def mergekit_merge(program: str, base: Path, adapter: Path, out: Path) -> Ran:
    """The merge of `mergekit-yaml`, at `out`; its plan and its cache are removed again."""
    plan, cache = out.with_suffix(".yaml"), out.with_suffix(".cache")
    plan.write_text(_MERGEKIT.format(base=base, adapter=adapter), encoding="utf-8")
    shutil.rmtree(cache, ignore_errors=True)
    options = ("--no-copy-tokenizer", "--lora-merge-cache", str(cache))
    ran = run(program, str(plan), str(out), *options)
    plan.unlink()
    shutil.rmtree(cache, ignore_errors=True)
    return ran
