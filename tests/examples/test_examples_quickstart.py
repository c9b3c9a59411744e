"""The models and the script of the quick start; tests/packaging runs the script as a whole."""

import re
import shlex
from itertools import chain
from pathlib import Path

import click
from safetensors.torch import load_file
from skillpm_world import REPOSITORY

from examples.continual import model as lm
from examples.quickstart.facts import SKILLS
from examples.quickstart.models import write_models
from skillpm.cli.app import app
from skillpm.spec.probes import parse_probes

SCRIPT = (REPOSITORY / "examples" / "quickstart" / "quickstart.sh").read_text(encoding="utf-8")


def test_no_question_belongs_to_two_skills() -> None:
    questions = [question for facts in SKILLS.values() for question, _ in facts]
    assert len(set(questions)) == len(questions)
    assert all(answer.strip() for facts in SKILLS.values() for _, answer in facts)


def test_models_share_a_base_and_have_probes_and_questions(tmp_path: Path) -> None:
    short = lm.Lesson(steps=2, learning_rate=4e-3)
    write_models(tmp_path, lambda _what, _done, _all: None, base=short, skill=short)
    names = {
        name: set(load_file(tmp_path / name / "model.safetensors")) for name in ("base", *SKILLS)
    }
    assert all(tensors == names["base"] for tensors in names.values())
    for name, facts in SKILLS.items():
        probes = parse_probes((tmp_path / f"{name}-probes.jsonl").read_bytes(), name)
        assert len(probes.items["exact_match"]) == len(facts)
        assert len((tmp_path / f"{name}-questions.jsonl").read_text().splitlines()) == len(facts)
    assert (tmp_path / "general.jsonl").read_text().count("\n") > 8


def test_script_uses_commands_and_options_that_exist() -> None:
    lines = re.findall(r"^\s*shown skillpm (.+)$", SCRIPT.replace("\\\n", " "), re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        command: click.Command = app
        context = click.Context(app)
        words = shlex.split(line)
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None, line
            command = found
        known = set(chain.from_iterable(parameter.opts for parameter in command.params))
        assert {word for word in words if word.startswith("--")} <= known, line
