"""Probe files: what is read, the limits for untrusted files, and tolerances."""

import json
from math import inf, nan
from typing import Any

import pytest

from skillpm.errors import SpecError
from skillpm.spec.probe_items import TEXT_LIMIT, MultipleChoiceItem, RetrievalItem
from skillpm.spec.probes import ITEM_LIMIT, LONGEST, METRICS, parse_probes, token_bound

LONG = 2000


def lines(*items: Any) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in items).encode()


@pytest.mark.parametrize(
    ("item", "metric"),
    [
        ({"text": "a b"}, "token_loss"),
        ({"prompt": "2+2=", "answer": "4"}, "exact_match"),
        ({"question": "q", "choices": ["a", "b"], "answer": 1}, "multiple_choice"),
        ({"prompt": "q", "choices": ["a", "b"], "answer": "b"}, "multiple_choice"),
        ({"query": "q", "document": "d"}, "mrr"),
        ({"text": "t", "label": "l"}, "accuracy"),
        ({"metric": "token_loss", "text": "t", "label": "l"}, "token_loss"),
    ],
)
def test_metric_is_named_or_follows_from_the_fields(item: dict[str, Any], metric: str) -> None:
    others = {
        "accuracy": [{"text": "u", "label": "m"}],
        "mrr": [{"query": "r", "document": "e"}],
    }.get(metric, [])
    found = parse_probes(lines(item, *others))
    assert set(found.items) == {metric}
    assert found.tolerances == {metric: 0.1}


def test_right_answer_is_an_index_or_the_text() -> None:
    asked = {"question": "q", "choices": ["a", "b"]}
    found = parse_probes(lines({**asked, "answer": 1}, {**asked, "answer": "a"}))
    items = found.items["multiple_choice"]
    assert [item.right for item in items if isinstance(item, MultipleChoiceItem)] == [1, 0]


def test_header_sets_tolerances_for_all_metrics_or_for_one() -> None:
    head = {"probes": 1, "tolerance": 0.3, "tolerances": {"exact_match": 0}}
    found = parse_probes(lines(head, {"text": "a"}, {"prompt": "p", "answer": "a"}))
    assert found.tolerances == {"token_loss": 0.3, "exact_match": 0.0}
    assert found.count == 2


def test_blank_lines_and_line_separators_in_texts_do_not_start_items() -> None:
    found = parse_probes('\n{"text": "a\u2028b\x85c"}\r\n\n'.encode())
    assert found.count == 1


def test_every_problem_is_reported_with_its_line() -> None:
    data = lines({"text": "a"}, {"metric": "bleu", "text": "x"}, {"text": 3}, {"tekst": "x"})
    with pytest.raises(SpecError) as caught:
        parse_probes(data + b'{"text": "a"\n', "`p.jsonl`")
    said = caught.value.message
    assert said.startswith("`p.jsonl` has 4 problems")
    assert "line 2: unknown metric 'bleu'; expected one of accuracy, exact_match, judged" in said
    assert "line 3: text: expected text, found" in said
    assert "line 4: no `metric`, and the fields do not identify a metric" in said
    assert "line 5: the item is not JSON" in said


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file has no items"),
        (lines({"probes": 1}), "the file has no items"),
        (lines({"probes": 2}, {"text": "a"}), "format 2"),
        (lines({"probes": True}, {"text": "a"}), "line 1: probes"),
        (lines({"probes": 1, "tolerance": 1e9}, {"text": "a"}), "line 1: tolerance"),
        (lines({"probes": 1, "tolerance": -1}, {"text": "a"}), "line 1: tolerance"),
        (lines({"probes": 1, "tolerances": {"bleu": 0.1}}, {"text": "a"}), "unknown metric 'bleu'"),
        (lines({"text": " \n"}), "found only white space"),
        (lines({"text": ""}), "found only white space"),
        (lines({"text": "x" * (TEXT_LIMIT + 1)}), "at most 8192"),
        (lines({"prompt": "p", "answer": "a" * 257}), "at most 256"),
        (lines({"metric": ["x"], "text": "a"}), "unknown metric"),
        (lines(["a"]), "expected a JSON object"),
        (lines({"question": "q", "choices": ["a"], "answer": 0}), "choices"),
        (
            lines({"question": "q", "choices": ["a", "b"], "answer": 2}),
            "expected one of the choices",
        ),
        (
            lines({"question": "q", "choices": ["a", "b"], "answer": -1}),
            "expected one of the choices",
        ),
        (
            lines({"question": "q", "choices": ["a", "b"], "answer": "c"}),
            "expected one of the choices",
        ),
        (lines({"question": "q", "choices": ["a", "b"], "answer": True}), "answer"),
        (lines({"question": "q", "choices": ["a", "a"], "answer": 0}), "duplicate choice"),
        (lines({"text": "a", "label": "l"}), "different labels, found 1"),
        (lines({"query": "a", "document": "l"}), "at least 2 different documents"),
        (lines(*[{"text": "a"}] * (ITEM_LIMIT + 1)), "more than 1000 items"),
        (lines(*[{"text": "a"}] * (ITEM_LIMIT + 2)), "the limit is 1000 items"),
        (b'{"text": "a", "text": "b"}', "duplicate key"),
        (b'{"text": NaN}', "not JSON"),
        (b'{"text": "\xff"}', "not UTF-8"),
        (b'{"text": "\\ud800"}', "not Unicode"),
        (b"[" * 100_000, "line 1"),
        (b'{"text": "a"}\n' * 700_000, "the limit is 8000000"),
    ],
    ids=range(29),
)
def test_invalid_probe_file_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_probes(data)
    assert words in caught.value.message


def test_unknown_keys_are_ignored_and_nothing_is_executed() -> None:
    found = parse_probes(lines({"query": "q", "document": "__import__('os')", "code": "1/0"},
                               {"query": "r", "document": "e", "metric": "mrr"}))  # fmt: skip
    first = found.items["mrr"][0]
    assert isinstance(first, RetrievalItem)
    assert first.document == "__import__('os')"


def test_allowance_is_the_tolerance_times_the_gain() -> None:
    loss = METRICS["token_loss"]
    allowed = loss.allowance(1.0, 3.0, samples=20, tolerance=0.1)
    assert allowed == pytest.approx(0.2)
    bound = loss.bound(1.0, allowed)
    assert bound == pytest.approx(1.2)
    assert loss.passes(1.2, bound)
    assert loss.passes(0.2, bound)
    assert not loss.passes(1.21, bound)


def test_allowance_is_at_least_one_item() -> None:
    exact = METRICS["exact_match"]
    allowed = exact.allowance(0.8, 0.7, samples=20, tolerance=0.1)
    assert exact.bound(0.8, allowed) == pytest.approx(0.75)
    assert METRICS["mrr"].allowance(0.8, 0.8, samples=20, tolerance=0.1) == pytest.approx(0.025)
    assert METRICS["token_loss"].allowance(1, 1, samples=9, tolerance=0.1) == 1e-3


@pytest.mark.parametrize("now", [nan, inf, -inf])
@pytest.mark.parametrize("name", sorted(METRICS))
def test_value_that_is_not_finite_never_passes(name: str, now: float) -> None:
    assert not METRICS[name].passes(now, 0.5)


def test_lower_is_better_for_a_loss_and_higher_for_other_metrics() -> None:
    gains = {name: metric.gain(2.0, 1.0) for name, metric in METRICS.items()}
    assert gains.pop("token_loss") == -1.0
    assert set(gains.values()) == {1.0}


def test_token_bound_counts_all_texts_that_a_model_reads() -> None:
    items = [
        {"text": "abcd"},
        {"prompt": "2+2=", "answer": "é"},
        {"question": "q", "choices": ["a", "bc"], "answer": 0},
        {"query": "abc", "document": "de"},
        {"query": "abc", "document": "d" * 2000},
        {"text": "t", "label": "one"},
        {"text": "tt", "label": "three"},
    ]
    texts = [4, 6, 2, 3, 3, 2, 3, LONGEST, 4, 6, 5, 7]
    assert token_bound(parse_probes(lines(*items)).items) == sum(texts)


@pytest.mark.parametrize(
    "item",
    [
        {"text": "x" * LONG},
        {"prompt": "x" * LONG, "answer": "y"},
        {"query": "x" * LONG, "document": "y" * LONG},
        {"question": "x" * 250, "choices": ["a", "b", "c", "d"], "answer": 0},
    ],
    ids=lambda item: next(iter(item)),
)
def test_largest_number_of_items_is_read(item: dict[str, Any]) -> None:
    key = next(iter(item))
    many = [{**item, key: f"{n}{item[key]}"[:LONG]} for n in range(ITEM_LIMIT - 1)]
    other = [{"query": "q", "document": "d"}] if key == "query" else []
    assert parse_probes(lines(*many, *other)).count >= ITEM_LIMIT - 1


@pytest.mark.parametrize(
    "items",
    [
        [{"question": "x" * 600, "choices": [f"{n}" for n in range(32)], "answer": 0}] * 100,
        [{"text": "x" * 600, "label": f"{n % 40}"} for n in range(100)],
    ],
    ids=["choices", "labels"],
)
def test_items_that_need_too_many_tokens_are_refused(items: list[dict[str, Any]]) -> None:
    with pytest.raises(SpecError, match=r"of `acme/x`.*\n.* tokens; the limit is 1,048,576"):
        parse_probes(lines(*items), "the probe file of `acme/x`")
