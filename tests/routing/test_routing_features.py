"""Features depend on the text alone: not on the batch, nor on text beyond the model's limit."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from routing_worlds import sums, with_letters, words
from transformers import GenerationConfig

from skillpm.errors import GraftError
from skillpm.routing.features import features
from skillpm.routing.projection import signs
from skillpm.running.hidden_states import generate_texts, length_of, pooled
from skillpm.running.runner import Runner


@pytest.fixture(scope="module")
def runner(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = with_letters(models.pair("fp32")[0], tmp_path_factory.mktemp("letters") / "base")
    return Runner.load(folder, "cpu")


def test_features_are_independent_of_the_batch(runner: Runner) -> None:
    texts = [*sums(20), *words(20)]
    together = features(runner, texts)
    alone = np.concatenate([features(runner, [text]) for text in texts])
    assert together.shape == (40, 64)
    assert np.abs(together - alone).max() < 1e-5
    assert np.allclose(np.linalg.norm(together, axis=1), 1)


def test_surrounding_white_space_does_not_affect_features(runner: Runner) -> None:
    texts = sums(3)
    assert np.array_equal(features(runner, texts), features(runner, [f" {t} \n" for t in texts]))


def test_text_beyond_the_length_limit_does_not_affect_features(runner: Runner) -> None:
    long = "a few words. " * 10
    assert length_of(runner) == 64
    assert np.array_equal(features(runner, [long]), features(runner, [long + " and more"]))


def test_text_without_tokens_has_zero_features(runner: Runner) -> None:
    assert not pooled(runner, [""], (0.0, 1.0)).any()


def test_generate_texts_is_deterministic(runner: Runner) -> None:
    runner.model.config.bos_token_id = 1
    found = generate_texts(runner, 3)
    assert len(found) == 3
    assert found == generate_texts(runner, 3)
    encoder = Runner(runner.model, runner.tokenizer, causal=False, device="cpu")
    assert generate_texts(encoder, 3) == []


def test_generate_texts_ignores_the_generation_config(runner: Runner) -> None:
    runner.model.config.bos_token_id = 1
    plain = generate_texts(runner, 3)
    kept = runner.model.generation_config
    runner.model.generation_config = GenerationConfig(suppress_tokens=list(range(2, 60)))
    assert generate_texts(runner, 3) == plain
    assert runner.model.generation_config.suppress_tokens
    runner.model.generation_config = kept


def test_signs_are_the_same_everywhere_and_keep_distances() -> None:
    found = signs(700, 256)
    assert set(np.unique(found)) == {-1 / 16, 1 / 16}
    digest = sha256(np.signbit(found).tobytes()).hexdigest()
    assert digest.startswith("fc4009deacce1378")
    points = np.random.default_rng(0).standard_normal((50, 700))
    ratio = np.linalg.norm(points @ found, axis=1) / np.linalg.norm(points, axis=1)
    assert np.abs(ratio - 1).max() < 0.2


def test_features_of_no_texts_are_empty(runner: Runner) -> None:
    assert features(runner, []).shape == (0, 64)


def test_folder_with_an_adapter_beside_its_model_is_refused(models: Any, tmp_path: Path) -> None:
    folder = with_letters(models.pair("fp32")[0], tmp_path / "base")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(GraftError, match="an adapter in addition to the model"):
        Runner.load(folder, "cpu")
