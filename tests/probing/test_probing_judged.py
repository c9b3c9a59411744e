"""The metric `judged`: a generated answer passes its check, or fails it."""

from typing import Any

import pytest
import torch
from tiny_learners import MATH, Learners

from skillpm.checks.probes import check_problems
from skillpm.errors import GraftError, SpecError
from skillpm.probing.faults import refuse_faulty_checks
from skillpm.probing.measure import mean, measure
from skillpm.running.runner import Runner
from skillpm.spec import json
from skillpm.spec.probe_items import JudgedItem
from skillpm.spec.probes import Probes, parse_probes

SQL = {
    "schema": "CREATE TABLE t (a INT)",
    "rows": {"t": [[1], [2], [3]]},
    "gold": "SELECT a FROM t WHERE a > 1",
}


def parsed(*items: dict[str, Any]) -> Probes:
    data = b"".join(json.canonical(item) + b"\n" for item in items)
    return parse_probes(data, "the probes", check_problems)


@pytest.fixture(scope="module")
def runner(learners: Learners) -> Runner:
    return Runner.load(learners.math[1], "cpu")


def items(*plain: dict[str, Any]) -> list[JudgedItem]:
    return [JudgedItem.model_validate(item) for item in plain]


def first_letter(runner: Runner, prompt: str) -> str:
    ids = torch.tensor([runner.tokenizer(prompt)["input_ids"]])
    with torch.no_grad():
        return str(
            runner.tokenizer.decode([int(runner.model(input_ids=ids).logits[0, -1].argmax())])
        )


def test_value_is_the_share_of_answers_that_pass(runner: Runner) -> None:
    prompts = [f"{line}{line[:4]}" for line in MATH]
    letters = [first_letter(runner, prompt) for prompt in prompts]
    right = [
        {"prompt": prompt, "check": {"equals": letter}, "max_tokens": 1}
        for prompt, letter in zip(prompts, letters, strict=True)
    ]
    wrong = [{**item, "check": {"equals": "k"}} for item in right]
    scores = measure(runner, "judged", items(*right, *wrong))
    assert [score.total for score in scores] == [1.0] * 5 + [0.0] * 5
    assert mean(scores) == 0.5
    assert [score.total for score in measure(runner, "judged", items(*right, *wrong), [6, 0])] == [
        0,
        1,
    ]


def test_queries_are_judged_in_the_sandbox(runner: Runner) -> None:
    item = {"prompt": "the cat", "check": {"sql": SQL}, "max_tokens": 4}
    assert [score.total for score in measure(runner, "judged", items(item))] == [0.0]


def test_encoder_cannot_be_judged(tmp_path_factory: pytest.TempPathFactory) -> None:
    import tiny_learners

    encoder = Runner.load(tiny_learners.encoder(tmp_path_factory.mktemp("encoder")), "cpu")
    with pytest.raises(GraftError, match="the metric judged needs a causal LM"):
        measure(encoder, "judged", items({"prompt": "a", "check": {"equals": "b"}}))


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"check": {"python": "assert True"}}, "the kind python never travel in a pack"),
        ({"check": {"command": ["true"]}}, "the kind command never travel in a pack"),
        ({"check": {"reward": {"model": "m", "at_least": 1}}}, "the kind reward never travel"),
        ({"check": {"bleu": 1}}, "unknown kind of check 'bleu'"),
        ({"check": {}}, "check: expected at least 1 entry"),
        ({"check": "412"}, "check: expected an object"),
        ({"check": {"regex": "(?=a)"}}, "line 1: check: regex: the pattern"),
        ({"check": {"number": "4"}}, "check: number: expected a number"),
        ({"check": {"equals": "4"}, "max_tokens": 513}, "max_tokens: expected at most 512"),
        ({"check": {"equals": "4"}, "prompt": "x" * 9000}, "prompt: expected at most 8192"),
        ({"check": {"equals": "4"}, "messages": []}, "messages: expected at least 1 entry"),
        (
            {"check": {"equals": "4"}, "messages": [{"role": "user", "content": "a"}]},
            "expected either `prompt` or `messages`",
        ),
    ],
)
def test_item_is_refused(item: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        parsed({"prompt": "2+2", **item})
    assert problem in caught.value.message


def test_generated_tokens_of_a_file_are_limited() -> None:
    item = {"prompt": "2+2", "check": {"number": 4}, "max_tokens": 512}
    assert parsed(*[item] * 64).count == 64
    with pytest.raises(SpecError, match=r"generate up to 33,280 tokens; the limit is 32,768"):
        parsed(*[item] * 65)


def test_item_with_a_check_needs_no_metric() -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]
    probes = parsed({"messages": chat, "check": {"number": 4}}, {"prompt": "2+2=", "answer": "4"})
    assert {name: len(group) for name, group in probes.items.items()} == {
        "exact_match": 1, "judged": 1,
    }  # fmt: skip


def test_check_that_no_answer_passes_is_refused_before_a_model_runs() -> None:
    probes = parsed(
        {"prompt": "all", "check": {"sql": SQL}},
        {"prompt": "all", "check": {"sql": {**SQL, "gold": "SELECT b FROM t"}}},
        {"prompt": "all", "check": {"json_schema": {"type": "objekt"}}},
    )
    with pytest.raises(SpecError) as caught:
        refuse_faulty_checks(probes, "the probe file")
    assert "has 2 problems" in caught.value.message
    assert "judged item 2: check: sql: the gold query" in caught.value.message
    assert "judged item 3: check: json_schema" in caught.value.message
