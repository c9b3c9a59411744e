"""`run`: the base and its skills answer on the command line, in a pipe and in a conversation."""

import builtins
import io
import json
import os
import pty
import select
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from skillpm_world import PACKAGES, Process, World, default_interrupt
from tiny_learners import Learners, encoder, tokenizer
from tiny_models import copy_model
from transformers import AutoModelForCausalLM

from skillpm.cli import main
from skillpm.cli.conversation import _line_history
from skillpm.cli.output import clean_answer

TEXT = "the cat sat"
TEMPLATE = "{% for m in messages %}{{ m['role'][0] }}={{ m['content'] }}. {% endfor %}a="
SETTINGS = ("--max-tokens", "6")


@pytest.fixture
def asked(world: World, learners: Learners) -> Iterator[World]:
    """A project with two skills, neither with a router signature."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    world.init(learners.base)
    world.ask("install", learners.pack(world, "gentle"), learners.pack(world, "noise"))
    yield world
    torch.set_num_threads(threads)


@pytest.fixture
def chatting(asked: World, learners: Learners) -> Path:
    """The same project's base, with a chat template."""
    base = copy_model(learners.base, asked.folder / "chat-base")
    (base / "chat_template.jinja").write_text(TEMPLATE)
    return base


def greedy(folder: Path, text: str) -> str:
    """The answer of transformers."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    letters = tokenizer()
    ids = torch.tensor([letters(text)["input_ids"]])
    with torch.no_grad():
        out = model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
    return str(letters.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


class Terminal(io.StringIO):
    """A stream of a terminal."""

    def isatty(self) -> bool:
        return True


def run_on_terminal(*arguments: object) -> tuple[str, str]:
    """Run a command with a terminal as stdout, which must succeed; return stdout and stderr."""
    out, err = Terminal(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    assert ended.value.code == 0, err.getvalue()
    return out.getvalue(), err.getvalue()


def type_lines(monkeypatch: pytest.MonkeyPatch, *lines: str | BaseException) -> None:
    """Let `input` return these lines, and then Ctrl-D. An error is raised in place of a line."""
    typed = iter([*lines, EOFError()])

    def ask(_prompt: str = "") -> str:
        line = next(typed)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr(builtins, "input", ask)
    monkeypatch.setattr(sys, "stdin", Terminal())


def test_each_skill_answers_as_its_tuned_model_does(asked: World, learners: Learners) -> None:
    for name, folder in (("base", learners.base), ("acme/noise", learners.noise[1])):
        document = asked.ask("run", TEXT, "--skill", name, *SETTINGS)
        assert document["text"] == greedy(folder, TEXT)
        assert document["skill"] == (None if name == "base" else name)
        assert document["seconds"] > 0
        assert (document["tokens"], document["cut_off"]) == (6, True)


def test_answer_is_printed_as_it_comes_or_at_its_end(asked: World, learners: Learners) -> None:
    streamed = asked.run("run", TEXT, *SETTINGS)
    assert streamed.code == 0
    assert streamed.out == greedy(learners.base, TEXT) + "\n"
    assert "no installed skill has a router signature" in streamed.err
    assert "`--skill NAME` names a skill" in streamed.err
    assert "cut off after 6 tokens" in streamed.err
    assert asked.run("run", TEXT, "--no-stream", *SETTINGS).out == streamed.out
    assert asked.run("run", TEXT, "-q", *SETTINGS).err == ""


def test_text_comes_from_stdin_too(asked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = asked.ask("run", TEXT, *SETTINGS)["text"]
    for arguments in (("run", "-"), ("run",)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(TEXT))
        assert asked.ask(*arguments, *SETTINGS)["text"] == expected


def test_comparison_has_the_base_and_every_skill(asked: World) -> None:
    document = asked.ask("run", TEXT, "--compare", *SETTINGS)
    assert [each["skill"] for each in document["answers"]] == [None, "acme/gentle", "acme/noise"]
    assert document["text"] == document["answers"][0]["text"]
    named = ("--skill", "acme/noise", "--skill", "base")
    blocks = asked.run("run", TEXT, "--compare", *named, *SETTINGS).out
    texts = {each["skill"]: each["text"] for each in document["answers"]}
    assert blocks == f"== acme/noise ==\n{texts['acme/noise']}\n\n== base ==\n{texts[None]}\n"


def test_comparison_is_a_table_on_a_wide_terminal(
    asked: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    wide, _ = run_on_terminal("run", TEXT, "--compare", "-q", *SETTINGS)
    assert "│" in wide
    assert wide.count("6 tokens, ") == 3
    assert "== base ==" not in wide
    monkeypatch.setenv("COLUMNS", "60")
    narrow, _ = run_on_terminal("run", TEXT, "--compare", "-q", *SETTINGS)
    assert "== base ==" in narrow


def test_router_chooses_the_skill_that_answers(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    examples = tmp_path / "examples.jsonl"
    texts = [f"{a}+{b}={(a + b) % 10}. {b}+{a}=" for a in range(6) for b in range(4)]
    examples.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    world.init(learners.base)
    world.ask("install", learners.pack(world, "gentle", "--router", examples))
    document = world.ask("run", "3+2=5. 2+3=", *SETTINGS)
    assert document["skill"] == "acme/gentle"
    assert document["score"] > 0
    assert document["score"] == world.ask("route", "3+2=5. 2+3=")["score"]
    noted = world.run("run", "3+2=5. 2+3=", *SETTINGS).err
    assert "note: `acme/gentle` answers: it fits best; " in noted
    assert noted.count("acme/gentle") == 1
    assert f"(score {document['score']:.2f})" in noted


def test_temperature_draws_tokens_by_the_seed(asked: World) -> None:
    hot = ("--temperature", "3", "--max-tokens", "20")
    texts = [asked.ask("run", TEXT, *hot, "--seed", seed)["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_base_answers_without_a_project(world: World, learners: Learners) -> None:
    document = world.ask("run", TEXT, "--base", learners.base, *SETTINGS)
    assert (document["skill"], document["text"]) == (None, greedy(learners.base, TEXT))
    assert list(world.project.iterdir()) == []
    text = world.fail("run", TEXT, code=1, kind="not_found")
    assert "`skillpm run --base ./model`" in text


def test_merged_project_runs_one_skill_at_a_time(asked: World, learners: Learners) -> None:
    asked.file.write_text(asked.file.read_text() + '\n[graft]\nmode = "merged"\n')
    document = asked.ask("run", TEXT, "--skill", "acme/noise", *SETTINGS)
    assert document["text"] == greedy(learners.noise[1], TEXT)


def test_bad_input_is_explained(asked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "acme/noise" in asked.fail("run", "x", "--skill", "acme/nois", code=4, kind="not_found")
    assert "blank" in asked.fail("run", " ", code=2, kind="usage")
    asked.fail("run", "x", "--skill", "not a name", code=2, kind="usage")
    asked.fail("run", "x", "--temperature", "nan", code=2, kind="usage")
    assert "`--temperature 0.8`" in asked.fail("run", "x", "--seed", "7", code=2, kind="usage")
    two = ("--skill", "base", "--skill", "acme/noise")
    assert "--compare" in asked.fail("run", "x", *two, code=2, kind="usage")
    assert "reads at most 63" in asked.fail("run", "x" * 64, code=1, kind="graft")
    assert "`--system`" in asked.fail("run", "x", "--system", "y", code=1, kind="graft")
    assert "UTF-8" in asked.fail("run", "\udc80", code=2, kind="usage")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8"))
    assert "UTF-8" in asked.fail("run", "-", code=2, kind="usage")


def test_base_that_generates_nothing_is_refused_with_a_hint(world: World) -> None:
    world.init(encoder(world.folder / "encoder"))
    text = world.fail("run", "x", code=1, kind="graft")
    assert "`BertModel`, which generates no text" in text
    assert "skillpm route" in text


def test_conversation_goes_through_the_chat_template(
    asked: World, chatting: Path, learners: Learners, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = greedy(learners.base, "s=be. u=ab. a=")
    second = greedy(learners.base, f"s=be. u=ab. a={first}. u=c. a=")
    after = greedy(learners.noise[1], "u=c. a=")
    type_lines(
        monkeypatch, "/system be", "ab", "c", "/nothing", "/skill acme/noise", "/system", "/clear",
        KeyboardInterrupt(), '"""c', '"""', "/skill nothing/here", "/help",
    )  # fmt: skip
    out, err = run_on_terminal("run", "--base", chatting, *SETTINGS)
    lines = out.splitlines()
    assert [line for line in lines if line in (first, second, after)] == [first, second, after]
    assert "there is no command `/nothing`" in err
    assert "`nothing/here` is not installed" in err
    assert "Ctrl-D or /bye ends" in err
    history = asked.home / "run-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_template_without_end_is_stopped(
    asked: World, chatting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (chatting / "chat_template.jinja").write_text(
        "{% for i in range(10**5) %}" * 3 + "a{% endfor %}" * 3
    )
    monkeypatch.setattr("skillpm.running.chat_prompt.SECONDS", 0.5)
    text = asked.fail("run", "x", "--base", chatting, code=1, kind="graft")
    assert "the chat template of the base cannot be used" in text


def test_terminal_sees_no_control_characters_of_a_model() -> None:
    assert clean_answer("a\x1b[31m\r\u202eb\n\tc") == "a\\x1b[31m\\r\\u202eb\n\tc"
    kept = "\u00e9\u3000\u00a0\u200d\U0001f469"
    assert clean_answer(kept) == kept


@pytest.mark.slow
def test_ctrl_c_stops_an_answer_and_not_the_conversation(asked: World, learners: Learners) -> None:
    screen, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "TERM": "xterm"}
    command = [sys.executable, "-m", "skillpm", "run", "--max-tokens", "40", "--temperature", "2"]
    with Process(
        command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal,
        preexec_fn=default_interrupt,
    ) as process:  # fmt: skip
        os.close(terminal)
        seen = _reader(screen)
        seen(b">>> ")
        process.send_signal(signal.SIGINT)
        seen(b"Ctrl-D or /bye ends")
        os.write(screen, b"ab\n")
        seen(b">>> ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    os.close(screen)


def _reader(terminal: int) -> Callable[[bytes], None]:
    """A function that reads until it has seen some text after the last."""
    buffer = bytearray()

    def seen(text: bytes) -> None:
        end = time.monotonic() + 120
        while text not in buffer:
            assert time.monotonic() < end, bytes(buffer[-500:])
            if select.select([terminal], [], [], 1)[0]:
                buffer.extend(os.read(terminal, 1 << 16))
        del buffer[: buffer.index(text) + len(text)]

    return seen


def test_questions_are_not_kept_where_others_could_put_a_link(tmp_path: Path) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    home.mkdir()
    home.chmod(0o777)
    own.write_text("kept\n")
    (home / "run-history").symlink_to(own)
    with _line_history(home / "run-history"):
        pass
    assert own.read_text() == "kept\n"
