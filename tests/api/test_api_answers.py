"""`Project.run` and `Project.compare`: conversations, settings, and the model that they use."""

from typing import Any

import pytest
from skillpm_world import World
from tiny_learners import Learners

import skillpm
from skillpm.api.answers import chat_of, named_skill
from skillpm.spec.answer_settings import AnswerSettings

USER = {"role": "user", "content": "the cat"}


def test_text_is_the_last_message_after_a_system_message() -> None:
    assert chat_of("the cat") == [USER]
    assert chat_of([USER], "be brief") == [{"role": "system", "content": "be brief"}, USER]


@pytest.mark.parametrize("chat", [
    "", " \n", [], [{"role": "assistant", "content": "x"}],
    [{"role": "tool", "content": "x"}, USER],
    [USER, {"role": "system", "content": "x"}, USER], [{"content": "x"}], [{**USER, "more": "x"}],
    [{"role": "user", "content": 1}], "\udc80",
], ids=range(10))  # fmt: skip
def test_chat_that_a_template_cannot_take_is_a_usage_error(chat: Any) -> None:
    with pytest.raises(skillpm.UsageError):
        chat_of(chat)


@pytest.mark.parametrize("values", [
    {"max_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")},
    {"temperature": float("inf")}, {"temperature": 1.0, "seed": -1},
    {"temperature": 1.0, "seed": 1 << 63}, {"seed": 1},
], ids=str)  # fmt: skip
def test_setting_out_of_range_is_a_usage_error(values: dict[str, Any]) -> None:
    with pytest.raises(skillpm.UsageError):
        AnswerSettings(**values)


def test_names_are_checked() -> None:
    assert [named_skill(name) for name in ("auto", None, "acme/x")] == ["auto", None, "acme/x"]
    with pytest.raises(skillpm.SpecError):
        named_skill("not a name")


def test_project_answers_with_the_model_that_is_loaded(world: World, learners: Learners) -> None:
    with skillpm.init_project(world.project, learners.base) as project:
        project.install(learners.pack(world, "noise"))
        model = project.load_model()
        parts: list[str] = []
        answer = project.run("the cat", skill="acme/noise", max_tokens=5, on_text=parts.append)
        assert "".join(parts) == answer.text
        assert (answer.skill, answer.tokens, answer.reason) == ("acme/noise", 5, None)
        assert model.skill_bytes()["acme/noise"][1] > 0, "the loaded model has decoded the skill"
        base, skill = project.compare_answers("the cat", max_tokens=5)
        assert (base.skill, skill.skill) == (None, "acme/noise")
        assert skill.text == answer.text != base.text
        with pytest.raises(skillpm.NotFoundError):
            project.run("the cat", skill="acme/nothing")
