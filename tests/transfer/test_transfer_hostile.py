"""A transfer of a stranger: files that are huge, endless or special, and sources that run code."""

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from skillpm.errors import SkillpmError, SpecError
from skillpm.transfer.config import transfer_of
from skillpm.transfer.inputs import read_inputs
from skillpm.transfer.lines import FILE_LIMIT
from skillpm.transfer.prompts import parse_keep_prompts, parse_prompts

if TYPE_CHECKING:
    from transfer_world import TransferWorld

GOOD = '{"id": "1", "prompt": "6 × 7?", "check": {"number": 42}}\n'
FILES = ("prompts.jsonl", "keep.jsonl", "answers.jsonl", "probes.jsonl")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts.jsonl").write_text(GOOD)
    (tmp_path / "keep.jsonl").write_text('{"id": "1", "prompt": "Who are you?"}\n')
    (tmp_path / "answers.jsonl").write_text('{"id": "1", "text": "42"}\n')
    (tmp_path / "probes.jsonl").write_text('{"prompt": "1 + 1?", "check": {"number": 2}}\n')
    return tmp_path


def read(folder: Path) -> None:
    tables = {
        "target": {"base": "b", "skill": "acme/math", "version": "1.0.0"},
        "source": [{"name": "bought", "answers": "answers.jsonl"}],
        "prompts": {"file": "prompts.jsonl", "keep": "keep.jsonl", "probes": "probes.jsonl"},
    }
    read_inputs(transfer_of(tables, "the options"), folder)


@pytest.mark.parametrize("name", FILES)
def test_endless_and_huge_files_are_not_read(folder: Path, name: str) -> None:
    read(folder)
    path = folder / name
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(SkillpmError, match="is a device"):
        read(folder)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(FILE_LIMIT + 1)
    with pytest.raises(SkillpmError, match="it is not read"):
        read(folder)
    path.unlink()
    path.symlink_to(name)
    with pytest.raises(SkillpmError):
        read(folder)


def test_many_problems_and_long_values_give_a_short_message() -> None:
    hostile = (
        b'{"id": 1}\n' * 50_000,
        b'{"id": "' + b"a" * 1_000_000 + b'", "prompt": "x"}\n',
        b'{"id": "' + b"a" * 10_000_000 + b'", "prompt": "x"}\n',
        b'{"id": "a", "prompt": ' + b"[" * 500_000 + b"\n",
        b'{"id": "a", "prompt": "x", "check": {"' + b"k" * 900_000 + b'": 1}}\n',
        b'{"id": "a\\u0000b\\u001b[31m", "prompt": "x"}\n',
        b'{"id": "a", "prompt": "\\ud800"}\n',
        b'{"id": "a", "prompt": "x", "tags": [' + b'"t",' * 100_000 + b'"t"]}\n',
        b"\xff\xfe" * 1000,
    )
    for data in hostile:
        with pytest.raises(SpecError) as failure:
            parse_prompts(data)
        assert len(failure.value.message) < 5000
        assert failure.value.message.replace("\n", "").isprintable()


def test_blank_lines_take_no_memory() -> None:
    data = b"\n" * 2_000_000 + GOOD.encode()
    tracemalloc.start()
    try:
        assert len(parse_prompts(data)) == 1
        assert tracemalloc.get_traced_memory()[1] < 2 * len(data)
    finally:
        tracemalloc.stop()


def test_ids_are_never_paths() -> None:
    names = ["../../etc/passwd", "/etc/passwd", "..", "C:\\x", "a/b", "~", "-rf", "*"]
    lines = "".join(json.dumps({"id": name, "prompt": name}) + "\n" for name in names)
    assert [prompt.id for prompt in parse_keep_prompts(lines.encode())] == names


@pytest.mark.parametrize("name", ["_base", "_keep", ".", "..", "a/b", "", "A", "a" * 200, "a\nb"])
def test_name_of_a_source_is_no_path_and_no_file_of_the_workspace(name: str) -> None:
    tables = {
        "target": {"base": "b", "skill": "acme/math", "version": "1.0.0"},
        "source": [{"name": name, "model": "m"}],
        "prompts": {"file": "p"},
    }
    with pytest.raises(SpecError, match="is not a plain name"):
        transfer_of(tables, "the options")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "[" + "a." * 50_000 + "b]",
        "x = " + "9" * 100_000,
        "\x00",
        "[[source]]\n" * 50_000,
        "#" * (2 << 20),
    ],
    ids=["deep", "long key", "digits", "nul", "sources", "large"],
)
def test_hostile_transfer_file_is_refused(transfer: "TransferWorld", text: str) -> None:
    transfer.file.write_text(text)
    outcome = transfer.world.run("transfer", transfer.file)
    assert outcome.code == 1
    assert len(outcome.err) < 6000
    assert not (transfer.world.home / "transfer").exists()


def test_source_never_runs_code_of_its_folder(transfer: "TransferWorld") -> None:
    folder = shutil.copytree(transfer.models.source, transfer.folder / "source")
    trap = transfer.folder / "ran"
    code = f"open({str(trap)!r}, 'w').close()\n"
    for name in ("evil.py", "modeling_evil.py", "tokenization_evil.py"):
        (folder / name).write_text(code)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "architectures": ["EvilForCausalLM"]}
    config["auto_map"] = {
        "AutoConfig": "evil.EvilConfig",
        "AutoModelForCausalLM": "modeling_evil.EvilForCausalLM",
    }
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer |= {
        "tokenizer_class": "EvilTokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_evil.EvilTokenizer", None]},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    transfer.write(source=f'model = "{folder}"')
    message = transfer.fail(code=1, kind="graft")
    assert "cannot be run by transformers" in message
    assert not trap.exists()


def test_source_whose_weights_are_not_numbers_is_an_error(transfer: "TransferWorld") -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(transfer.models.source, transfer.folder / "source")
    weights = load_file(folder / "model.safetensors")
    broken = {name: tensor * float("nan") for name, tensor in weights.items()}
    save_file(broken, folder / "model.safetensors", metadata={"format": "pt"})
    transfer.write(source=f'model = "{folder}"')
    assert "cannot answer: probability tensor" in transfer.fail(code=1, kind="graft")


def test_source_whose_weights_are_a_pipe_or_a_link_out_is_refused(
    transfer: "TransferWorld",
) -> None:
    folder = shutil.copytree(transfer.models.source, transfer.folder / "source")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/dev/zero")
    transfer.write(source=f'model = "{folder}"')
    outcome = transfer.world.run("transfer", transfer.file)
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
