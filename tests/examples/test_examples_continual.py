import pytest
import torch

from examples.continual import model as lm
from examples.continual import texts


def test_tokenizer_encodes_any_text() -> None:
    text = "naïve ⊕ \t\n\x00 end" * 40
    spell = lm.tokenizer()
    ids = spell(text)["input_ids"]
    assert len(ids) == len(text.encode())
    assert spell.decode(ids) == text
    rows = lm.rows([text, text])
    assert rows.shape[1] == lm.CONTEXT
    assert int(rows[0, 0]) == 0


@pytest.mark.parametrize("kind", ["metadata", "headers"])
def test_training_and_held_out_texts_are_disjoint(kind: str) -> None:
    found = texts.read(kind)
    assert sum(map(len, found.train)) <= texts.TRAIN_BYTES
    assert found.held_out
    assert not set(found.train) & set(found.held_out)


def test_training_changes_only_the_named_parameters() -> None:
    model = lm.fresh(0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    rows = lm.rows(["a cat sat on a mat. " * 100])
    lesson = lm.Lesson(steps=8, learning_rate=5e-3, rows=4, only=("mlp",))
    start = lm.loss(model, rows)
    lm.learn(model, rows, lesson, lambda _what, _done, _all: None, "cats")
    assert lm.loss(model, rows) < start
    moved = {n for n, value in model.named_parameters() if not torch.equal(value, before[n])}
    assert moved
    assert all("mlp" in name for name in moved)
