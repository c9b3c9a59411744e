"""The loop of `make conformance`, on one architecture; the whole list takes minutes."""

from pathlib import Path

from benchmarks.conformance.__main__ import STEPS, table_of
from benchmarks.conformance.architectures import ARCHITECTURES
from benchmarks.conformance.loop import Outcome, run_loop

LISTED = (
    "Llama", "Qwen2", "Qwen3", "Qwen3-MoE", "Mixtral", "gpt-oss", "Gemma 3", "GPT-2", "GPT-NeoX",
    "OPT", "T5", "UMT5", "BERT", "RoBERTa", "DeBERTa-v2", "ModernBERT", "DistilBERT", "Whisper",
    "ViT", "CLIP", "Llava", "Qwen2-VL", "Qwen2.5-VL", "Mamba", "Mamba2", "BERT + GPT-2",
    "Phi", "Phi-3", "Falcon", "Cohere", "DeepSeek-V3", "Bloom", "RWKV", "BART", "Marian", "M2M100",
    "LED", "XLNet", "Funnel", "ELECTRA", "RoBERTa, token labels", "SigLIP", "Swin", "ResNet",
    "Wav2Vec2", "PaliGemma",
)  # fmt: skip


def test_every_documented_architecture_is_listed() -> None:
    assert set(LISTED) == set(ARCHITECTURES)
    page = Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in LISTED if f"| {name} |" not in text] == []


def test_loop_of_one_architecture_passes_every_step(tmp_path: Path) -> None:
    outcomes = run_loop(ARCHITECTURES["DistilBERT"], tmp_path / "run")
    assert [each.step for each in outcomes] == list(STEPS)
    assert {each.status for each in outcomes} == {"right"}
    assert not (tmp_path / "run").exists()


def test_refusal_is_explained_below_the_table() -> None:
    outcomes = [Outcome("lossless", "right", "bit-equal"), Outcome("export", "refused", "because")]
    text = table_of({"Llama": outcomes}, 3.0)
    assert "| Llama | bit-equal | – | – | – | – | refused (1) |" in text
    assert "1. Llama, export: because" in text
