import pytest
import torch
from llm_worlds import CHAT
from peer_worlds import WORDS
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from benchmarks.llm import sql, texts
from benchmarks.llm.texts import Example


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    words = {word: n for n, word in enumerate([*WORDS, "user", "assistant", texts.SEPARATOR])}
    made = Tokenizer(models.WordLevel(words, unk_token=WORDS[0]))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = PreTrainedTokenizerFast(tokenizer_object=made, pad_token=WORDS[0])
    found.chat_template = CHAT
    return found


def test_no_table_of_sql_is_on_two_sides() -> None:
    sides = texts.sides("sql")
    named = [
        {one.name.split("/")[0] for one in side}
        for side in (sides.train, sides.calibration, sides.held_out)
    ]
    assert len(set.union(*named)) == sum(len(names) for names in named)
    assert len(named[1]) == len(named[2]) == texts.TABLES_APART
    assert sides.digest() == texts.sides("sql").digest()


def test_only_the_answer_counts(tokenizer: PreTrainedTokenizerFast) -> None:
    asked = Example("q", "w5 w6", "w1 w2 w3")
    rows = texts.training_rows(tokenizer, [asked, Example("t", "w7 w8 w9")], context=14)
    words = tokenizer.convert_ids_to_tokens(rows[0, 0].tolist())
    counted = [word for word, counts in zip(words, rows[0, 1].tolist(), strict=True) if counts]
    assert counted == [texts.SEPARATOR, "w5", "w6", "w0", texts.SEPARATOR, "w7", "w8", "w9"]


def test_documents_are_cut_and_padded(tokenizer: PreTrainedTokenizerFast) -> None:
    found = texts.document_rows(
        tokenizer, [Example("a", "w1 w2 w3 w4"), Example("b", "w5")], context=4
    )
    assert tokenizer.convert_ids_to_tokens(found[0, 0].tolist())[1:] == ["w1", "w2", "w3"]
    assert torch.equal(found[:, 1], torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0]]))


@pytest.mark.parametrize("number", range(17))
def test_an_answer_is_right_if_its_rows_are(number: int) -> None:
    questions = list(sql.questions(next(sql.tables())))
    one = questions[number]
    assert sql.is_right(one, one.query)
    assert sql.is_right(one, one.query.lower() + ";")
    assert not sql.is_right(one, "SELECT 1")


def test_the_order_of_rows_counts_where_it_was_asked_for() -> None:
    questions = list(sql.questions(next(sql.tables())))
    ordered = next(one for one in questions if one.query.endswith("DESC"))
    assert not sql.is_right(ordered, ordered.query.removesuffix("DESC"))
    free = next(one for one in questions if "SUM" in one.query)
    assert sql.is_right(free, free.query + " ORDER BY 2")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "SELECT",
        "DROP TABLE staff",
        "SELECT 1; SELECT 2",
        "ATTACH 'x.db' AS x",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT MAX(x) FROM n",
    ],
)
def test_an_answer_that_is_no_quick_select_is_wrong(answer: str) -> None:
    assert not sql.is_right(next(sql.questions(next(sql.tables()))), answer)
