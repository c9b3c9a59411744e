"""Sentence-transformers models of a few thousand parameters, tuned as a whole."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import CNN, LayerNorm, Pooling
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from tiny_models import nudge
from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]

TEXTS = ["a quick brown fox", "zz top"]
WIDTH = 16


def bert(folder: Path) -> Path:
    """A transformers folder, without parts of sentence-transformers."""
    folder.mkdir(parents=True)
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    (folder / "vocab.txt").write_text("\n".join(words))
    config = BertConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def modules(transformer: Path, *kinds: str) -> list[Any]:
    """The modules of a model: the transformer, and parts by the names of their classes."""
    torch.manual_seed(1)
    made: dict[str, Callable[[], Any]] = {
        "Pooling": lambda: Pooling(WIDTH),
        "Dense": lambda: Dense(WIDTH, 8),
        "LayerNorm": lambda: LayerNorm(8),
        "CNN": lambda: CNN(WIDTH, 8, kernel_sizes=[1, 3]),
        "Wide": lambda: Pooling(16),
        "Normalize": Normalize,
        "SparseAutoEncoder": lambda: SparseAutoEncoder(WIDTH, hidden_dim=32, k=4, k_aux=4),
    }
    return [Transformer(str(transformer)), *(made[kind]() for kind in kinds)]


def embedder(folder: Path, transformer: Path, *kinds: str) -> Path:
    """Write a model of these parts."""
    model = SentenceTransformer(modules=modules(transformer, *kinds), device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def load(folder: Path) -> Any:
    return SentenceTransformer(str(folder), device="cpu")


def tune(source: Path, folder: Path, *, only: str = "", pickled: bool = False) -> Path:
    """Another model from a model: weights are perturbed whose names contain `only`."""
    model = nudge(load(source), only=only)
    model.max_seq_length = 7
    model.prompts = {"query": "q: "}
    model.save_pretrained(str(folder), create_model_card=False, safe_serialization=not pickled)
    return folder


def embeddings(folder: Path) -> Any:
    """The embeddings of `TEXTS` by the model of a folder, [2, width]."""
    return load(folder).encode(TEXTS)
