"""Inputs, sizes and the entries of the list of architectures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

VOCABULARY = 96
IDS = torch.tensor([[1, 5, 9, 22, 7, 3, 40, 11]])
PIXELS = torch.linspace(-1, 1, 768).reshape(1, 3, 16, 16)
MEL = torch.linspace(-1, 1, 320).reshape(1, 8, 40)
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
DECODER: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, **TOKENS,
}  # fmt: skip
ENCODER: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 16, "patch_size": 8,
}  # fmt: skip
TEXT = {"input_ids": IDS}
BOTH = {"input_ids": IDS, "decoder_input_ids": IDS}


@dataclass(frozen=True)
class Architecture:
    """A transformers class, a small config of it, and inputs for it."""

    name: str
    kind: Any
    config: Callable[[], Any]
    inputs: dict[str, torch.Tensor]

    def make(self, seed: int = 0) -> Any:
        """Create a model; noise is added to all parameters, as some start at zero or one."""
        torch.manual_seed(seed)
        model = self.kind(self.config()).eval()
        return moved(model, seed + 7, 0.02)

    def load(self, folder: Any) -> Any:
        """Load the model of a folder in its stored dtype."""
        return self.kind.from_pretrained(folder, dtype="auto").eval()

    def compute(self, model: Any) -> torch.Tensor:
        """The model's output for the inputs."""
        with torch.no_grad():
            answer = model(**self.inputs)
        for name in ("logits", "logits_per_image", "last_hidden_state"):
            found = getattr(answer, name, None)
            if isinstance(found, torch.Tensor):
                return found
        raise ValueError(f"{self.name} answers with no logits")


def moved(model: Any, seed: int, scale: float) -> Any:
    """Add noise to every parameter in place and return the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.add_(noise.to(parameter.dtype))
    return model
