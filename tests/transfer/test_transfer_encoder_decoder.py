"""A source that is an encoder-decoder answers like a causal LM."""

from pathlib import Path
from typing import Any

import pytest
import torch

from skillpm.spec.chat import asked
from skillpm.transfer.generated import SamplingSettings
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.sampling import requests_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 that was trained to answer `count one pear` by `1`."""
    from transfer_models import SKILL, byte_tokenizer, save
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = byte_tokenizer([f"{prompt}{answer}" for prompt, answer in SKILL])
    end = tokenizer.eos_token_id
    torch.manual_seed(0)
    config: Any = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4,
        pad_token_id=end, eos_token_id=end, dropout_rate=0.0,
    )  # fmt: skip
    config.decoder_start_token_id = end
    model: Any = T5ForConditionalGeneration(config)
    ids = torch.tensor([tokenizer("count one pear")["input_ids"]])
    labels = torch.tensor([[*tokenizer("1")["input_ids"], end]])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    return save(model.eval(), tokenizer, tmp_path_factory.mktemp("t5"))


def test_encoder_decoder_answers_without_its_prompt(folder: Path) -> None:
    from skillpm.transfer.sources.folder import FolderSource

    sampling = SamplingSettings(0, 1, 8)
    requests = requests_of([Prompt("a", tuple(asked("count one pear")), None)], sampling, 1, "k")
    (answer,) = FolderSource.load(folder, "cpu").answers(requests, sampling)
    assert (answer.text, answer.finish, answer.tokens) == ("1", "stop", 1)


def test_prompt_of_an_encoder_keeps_the_end_token_that_its_tokenizer_adds(folder: Path) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    from skillpm.running.chat import chat_ids

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = None
    end = tokenizer.eos_token_id
    plain = tokenizer("count one pear")["input_ids"]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", end)]
    )
    chat = [{"role": "user", "content": "count one pear"}]
    assert chat_ids(tokenizer, chat) == plain
    assert chat_ids(tokenizer, chat, complete=True) == [*plain, end]


def test_prompt_of_an_encoder_is_not_cut_for_a_long_answer(folder: Path) -> None:
    from skillpm.transfer.sources.folder import FolderSource

    source = FolderSource.load(folder, "cpu")
    source.runner.tokenizer.model_max_length = 16
    sampling = SamplingSettings(0, 1, 16)
    requests = requests_of([Prompt("a", tuple(asked("count one pear")), None)], sampling, 1, "k")
    assert source.answers(requests, sampling)[0].text == "1"
