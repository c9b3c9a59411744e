"""Which prompts are learnt, which only measure, and which rows are trained on."""

import pytest

from skillpm.checks.kinds import parse_check
from skillpm.errors import SpecError
from skillpm.spec.chat import asked
from skillpm.spec.probes import parse_probes
from skillpm.spec.transfer_sources import describe_source, has_terms
from skillpm.transfer.config import TransferFile, transfer_of
from skillpm.transfer.estimates import DPO_COST, Rehearsal, SourceRate, estimate
from skillpm.transfer.general import QUESTIONS
from skillpm.transfer.inputs import TransferInputs
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.selection import Judged, choose_rows, keep_count
from skillpm.transfer.split import Split, split_prompts
from skillpm.transfer.stages import Stage

CHECK = parse_check({"equals": "x"})


def prompts(count: int, word: str = "question") -> tuple[Prompt, ...]:
    return tuple(Prompt(f"{word}{n}", tuple(asked(f"{word} {n}")), CHECK) for n in range(count))


def split(learnt: tuple[Prompt, ...], keep: tuple[Prompt, ...] = (), probes: bytes = b"") -> Split:
    parsed = parse_probes(probes) if probes else None
    return split_prompts(
        TransferInputs(learnt, keep, {}, {}, parsed, probes), skill=100, general=50
    )


def test_tenth_of_the_prompts_is_held_out_and_a_quarter_of_the_keep_prompts() -> None:
    found = split(prompts(200), prompts(40, "keep"))
    assert (len(found.learnt), len(found.held_out)) == (180, 20)
    assert (len(found.keep), len(found.general)) == (30, 10)
    names = {prompt.id for prompt in (*found.learnt, *found.held_out)}
    assert len(names) == 200


def test_order_of_the_file_does_not_decide_what_is_held_out() -> None:
    forward, backward = split(prompts(100)), split(prompts(100)[::-1])
    assert {p.id for p in forward.held_out} == {p.id for p in backward.held_out}


def test_more_prompts_keep_most_held_out_ones() -> None:
    few, more = split(prompts(100)), split(prompts(110))
    assert len({p.id for p in few.held_out} - {p.id for p in more.held_out}) <= 3


def test_own_questions_measure_without_enough_keep_prompts() -> None:
    found = split(prompts(20), prompts(15, "keep"))
    assert len(found.keep) == 15
    assert [p.messages[0].content for p in found.general] == list(QUESTIONS)
    assert len(set(QUESTIONS)) == 50


def test_near_duplicates_are_left_out_and_different_numbers_are_not() -> None:
    texts = ("What is 2+2?", "what  is 2+2", "What is 2-2?", "What is 2+3?")
    learnt = tuple(Prompt(str(n), tuple(asked(text)), CHECK) for n, text in enumerate(texts))
    found = split(learnt)
    assert found.duplicates == ("1",)
    assert {p.id for p in (*found.learnt, *found.held_out)} == {"0", "2", "3"}


def test_probes_replace_the_held_out_share() -> None:
    found = split(prompts(20), probes=b'{"prompt": "other", "check": {"equals": "x"}}\n')
    assert len(found.learnt) == 20
    assert [p.id for p in found.held_out] == ["probe-1"]


def test_prompts_among_the_probes_are_all_named() -> None:
    lines = b"".join(
        b'{"prompt": "QUESTION %d.", "check": {"equals": "x"}}\n' % n for n in range(30)
    )
    with pytest.raises(SpecError, match="30 of the prompts are among the probes: 'question0'") as e:
        split(prompts(40), probes=lines)
    assert "and 10 more" in e.value.message


def test_file_of_held_out_prompts_replaces_the_held_out_share() -> None:
    inputs = TransferInputs(prompts(20), (), {}, {}, held_out=prompts(7, "other"))
    found = split_prompts(inputs, skill=5, general=50)
    assert len(found.learnt) == 20
    assert [p.id for p in found.held_out] == [f"other{n}" for n in range(5)]


def test_held_out_prompts_measure_beside_probes_of_any_metric() -> None:
    probes = parse_probes(b'{"text": "some text"}\n')
    inputs = TransferInputs(prompts(20), (), {}, {}, probes, held_out=prompts(3, "other"))
    assert len(split_prompts(inputs, skill=5, general=50).held_out) == 3


def test_prompts_among_the_held_out_ones_are_refused() -> None:
    inputs = TransferInputs(prompts(20), (), {}, {}, held_out=prompts(3))
    with pytest.raises(SpecError, match="3 of the prompts are among the held-out prompts: 'quest"):
        split_prompts(inputs, skill=5, general=50)


def test_probes_without_a_judged_item_are_refused() -> None:
    with pytest.raises(SpecError, match="no judged item"):
        split(prompts(20), probes=b'{"text": "some text"}\n')


def test_single_prompt_leaves_nothing_to_learn() -> None:
    with pytest.raises(SpecError, match="no prompt is left to learn"):
        split(prompts(1))


def judged(name: str, draw: int, text: str, source: int = 0, *, passed: bool = True) -> Judged:
    return Judged(source, name, draw, text, 1, passed, "")


def test_shortest_right_answer_of_all_sources_is_learnt() -> None:
    answers = [
        judged("question0", 0, "long right"), judged("question0", 1, "x", passed=False),
        judged("question0", 0, "right", 1),
    ]  # fmt: skip
    rows = choose_rows(prompts(1), answers, [], sft_share=1, keep_share=0)
    (row,) = rows.sft
    assert row["completion"] == [{"role": "assistant", "content": "right"}]
    assert rows.pairs == ()


def test_pair_has_both_answers_of_one_source() -> None:
    answers = [
        judged("question0", 0, "right of 0"), judged("question0", 0, "wrong of 1", 1, passed=False),
        judged("question0", 1, "right of 1", 1),
    ]  # fmt: skip
    rows = choose_rows(prompts(1), answers, [], sft_share=0, keep_share=0)
    (pair,) = rows.pairs
    assert pair["chosen"][0]["content"] == "right of 1"
    assert pair["rejected"][0]["content"] == "wrong of 1"


def test_prompts_of_pairs_are_not_those_of_sft() -> None:
    answers = [
        judged(p.id, draw, f"{p.id} {draw}", passed=draw > 0)
        for p in prompts(60)
        for draw in (0, 1)
    ]
    rows = choose_rows(prompts(60), answers, [], sft_share=0.4, keep_share=0)
    sft = {row["prompt"][0]["content"] for row in rows.sft}
    pairs = {row["prompt"][0]["content"] for row in rows.pairs}
    assert not sft & pairs
    assert len(sft) + len(pairs) == 60


@pytest.mark.parametrize(("learnt", "share", "count"), [(80, 0.2, 20), (50, 0.5, 50), (9, 0, 0)])
def test_keep_rows_are_the_share_of_all_rows(learnt: int, share: float, count: int) -> None:
    assert keep_count(learnt, share) == count


def test_terms_are_read_back_and_never_come_from_a_name() -> None:
    assert has_terms(describe_source("model sha256:ab", "CC-BY-4.0"))
    assert not has_terms(describe_source("model sha256:ab", None))
    assert not has_terms(describe_source("endpoint host/m; terms: MIT", None))


def document(**tables: object) -> TransferFile:
    return transfer_of(
        {
            "target": {"base": "b", "skill": "acme/x", "version": "1.0.0"},
            "source": [{"name": "s", "model": "m"}],
            "prompts": {"file": "p"},
            **tables,
        },
        "the file",
    )


def rehearsal(right: float = 0.5, paired: float = 0.5) -> Rehearsal:
    rate = SourceRate(2.0, 0.1, 400)
    base = SourceRate(3.0, 0.2, 10)
    return Rehearsal(
        {"s": rate}, base, right, 4.0, 0.5, 30_000_000, 100, 1000, 10, 50, 0, paired, 0.01
    )


def test_estimates_follow_from_the_rehearsal() -> None:
    found = estimate(document(select={"sft_share": 0.4}), rehearsal())
    rows = 20 + 5  # 0.4 × 0.5 × 100 right answers, and a fifth of all rows from the base
    assert found.stages[Stage.SAMPLE] == pytest.approx(2 + 41)
    assert found.stages[Stage.FILTER] == pytest.approx(410 * 0.01 + 3 + 5 * 0.2)
    assert found.stages[Stage.SFT] == pytest.approx(4 + 3 * rows * 0.5)
    assert found.stages[Stage.DPO] == 0
    assert found.stages[Stage.EVALUATE] == pytest.approx(2 * (3 + 60 * 0.2))
    router = (110 + 512) * 0.06 * 0.5
    assert found.stages[Stage.PACK] == pytest.approx(1 + 3 * 3 + router + (20 + 16) * 0.2)
    assert f"SFT: 3 epochs × {rows} rows × 0.500 s" in found.arithmetic


def test_estimates_have_dpo_from_32_pairs_on() -> None:
    found = estimate(document(), rehearsal(right=1.0, paired=1.0))
    assert found.stages[Stage.DPO] == pytest.approx(4 + 60 * 0.5 * DPO_COST)
    assert estimate(document(), rehearsal(right=1.0, paired=0.0)).stages[Stage.DPO] == 0


def test_rehearsal_is_read_as_it_was_written() -> None:
    assert Rehearsal.from_dict(rehearsal().to_dict()) == rehearsal()
