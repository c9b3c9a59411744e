"""Greedy answers equal token-by-token generation, in batches and with a stranger's template."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_learners import LETTERS, Learners, tokenizer
from tiny_models import copy_model
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, MambaConfig

from skillpm.errors import GraftError
from skillpm.running.generation import ChatQuestion, greedy_answers
from skillpm.running.runner import Runner
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.sandbox.errors import ForeignWorkError
from skillpm.spec.chat import ChatMessage, asked

PROMPTS = ("1+2", "the cat sat on", "sky=", "a dog ran to the tree. 4+4", "2+2=4. 5+1=")
STOP = LETTERS.index(".")


@pytest.fixture(scope="module")
def runner(learners: Learners) -> Runner:
    return Runner.load(learners.math[1], "cpu")


def by_hand(runner: Runner, ids: list[int], most: int, stop: int | None = None) -> str:
    """The most likely token after each token, one forward pass over all tokens for each."""
    new: list[int] = []
    while len(new) < most:
        with torch.no_grad():
            logits = runner.model(input_ids=torch.tensor([[*ids, *new]])).logits
        new.append(int(logits[0, -1].argmax()))
        if new[-1] == stop:
            new.pop()
            break
    return str(runner.tokenizer.decode(new, skip_special_tokens=True))


def ask(runner: Runner, prompts: tuple[str, ...], most: int, seconds: float = 600) -> list[str]:
    questions = [ChatQuestion(asked(prompt), most) for prompt in prompts]
    return greedy_answers(runner, questions, seconds=seconds)


def test_answers_of_a_padded_batch_equal_those_by_hand(runner: Runner) -> None:
    ids = [runner.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    assert ask(runner, PROMPTS, 8) == [by_hand(runner, row, 8) for row in ids]


def test_each_answer_has_its_own_limit(runner: Runner) -> None:
    questions = [ChatQuestion(asked("1+2"), most) for most in (1, 5, 3)]
    ids = runner.tokenizer("1+2")["input_ids"]
    expected = [by_hand(runner, ids, most) for most in (1, 5, 3)]
    assert greedy_answers(runner, questions, seconds=600) == expected


CONFIGS: tuple[Any, ...] = (
    GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=len(LETTERS)),
    GPTNeoXConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, vocab_size=len(LETTERS),
    ),
    MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=len(LETTERS), state_size=4),
)  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_padding_does_not_change_answers_of_other_architectures(config: Any) -> None:
    torch.manual_seed(0)
    config.eos_token_id = None
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # an untrained model's tokens are otherwise nearly equally likely
    runner = Runner(model, tokenizer(), causal=True, device="cpu")
    ids = [runner.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    assert ask(runner, PROMPTS, 8) == [by_hand(runner, row, 8) for row in ids]


@pytest.mark.parametrize("end", [STOP, [STOP, 0]])
def test_answer_ends_at_an_end_token_of_model_or_tokenizer(
    learners: Learners, tmp_path: Path, end: Any
) -> None:
    folder = copy_model(learners.math[1], tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}))
    runner = Runner.load(folder, "cpu")
    ids = [runner.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    assert ask(runner, PROMPTS, 12) == [by_hand(runner, row, 12, STOP) for row in ids]


def test_generation_config_of_a_pack_decides_nothing_else(
    learners: Learners, tmp_path: Path, runner: Runner
) -> None:
    folder = copy_model(learners.math[1], tmp_path / "model")
    settings = {
        "do_sample": True,
        "temperature": 5.0,
        "max_new_tokens": 1,
        "repetition_penalty": 9.0,
    }
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert ask(Runner.load(folder, "cpu"), PROMPTS, 8) == ask(runner, PROMPTS, 8)


def test_prompt_that_is_too_long_loses_its_beginning(runner: Runner) -> None:
    long = "the cat. " * 20 + "1+2"
    ids = runner.tokenizer(long)["input_ids"][-(64 - 8) :]
    assert ask(runner, (long,), 8) == [by_hand(runner, ids, 8)]


def test_answer_gets_at_most_half_of_the_window(runner: Runner) -> None:
    long = "the cat. " * 20 + "1+2"
    ids = runner.tokenizer(long)["input_ids"][-32:]
    assert ask(runner, (long,), 100) == [
        by_hand(runner, ids, 32, runner.model.generation_config.eos_token_id)
    ]


def test_answers_that_take_too_long_are_an_error(runner: Runner) -> None:
    with pytest.raises(GraftError, match="took more than 0 seconds"):
        ask(runner, PROMPTS, 8, seconds=0)


TEMPLATE = (
    "{% for m in messages %}{{ m['content'] }}.{% endfor %}"
    "{% if add_generation_prompt %}={% endif %}"
)


def templated(learners: Learners, folder: Path, template: str = TEMPLATE) -> Path:
    copy_model(learners.math[1], folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def test_chat_is_rendered_by_the_template(learners: Learners, tmp_path: Path) -> None:
    runner = Runner.load(templated(learners, tmp_path / "model"), "cpu")
    chat = [
        ChatMessage(role="system", content="a dog"),
        ChatMessage(role="user", content="1+2"),
    ]
    found = greedy_answers(runner, [ChatQuestion(chat, 6)], seconds=600)
    assert found == [by_hand(runner, runner.tokenizer("a dog.1+2.=")["input_ids"], 6)]


def test_stranger_s_template_is_rendered_in_the_sandbox(learners: Learners, tmp_path: Path) -> None:
    folder = templated(learners, tmp_path / "model")
    trusted = Runner.load(folder, "cpu")
    foreign = Runner.load(folder, "cpu", UntrustedModelFiles())
    assert ask(foreign, PROMPTS, 6) == ask(trusted, PROMPTS, 6)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(10**9) %}{% for b in range(10**9) %}{% endfor %}{% endfor %}",
        pytest.param("{{ 'x' * 10**10 }}", marks=pytest.mark.slow),
        pytest.param("{{ ''.__class__.__mro__[1].__subclasses__() }}", marks=pytest.mark.slow),
        pytest.param("{% include '/etc/passwd' %}", marks=pytest.mark.slow),
        pytest.param("{{ raise_exception('no') }}", marks=pytest.mark.slow),
        pytest.param("{% broken", marks=pytest.mark.slow),
    ],
)
def test_hostile_template_is_stopped(learners: Learners, tmp_path: Path, template: str) -> None:
    folder = templated(learners, tmp_path / "model", template)
    foreign = Runner.load(folder, "cpu", UntrustedModelFiles(seconds=10.0))
    with pytest.raises(ForeignWorkError):
        ask(foreign, ("1+2",), 4)
