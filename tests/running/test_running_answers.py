"""Divergence and loss of a model, compared with the answers of another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calibration_worlds import LETTERS, causal_model
from transformers import BertConfig, BertModel, CohereConfig, CohereForCausalLM

from skillpm.errors import GraftError
from skillpm.running.answers import ReferenceAnswers, effect_of, share_kept
from skillpm.running.runner import Batch, Runner


def batches_of(rows: int = 3, tokens: int = 7) -> list[Batch]:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, LETTERS, (2, rows, tokens), generator=draw)
    return [Batch(part, torch.ones_like(part)) for part in ids]


def runner_of(model: Any, *, causal: bool = True) -> Runner:
    return Runner(model.eval(), None, causal=causal, device="cpu")


@torch.no_grad()
def moved(model: Any) -> None:
    """Change every weight, the head too."""
    draw = torch.Generator().manual_seed(5)
    for value in model.parameters():
        value.add_(0.05 * torch.randn(value.shape, generator=draw))


def scaled() -> Any:
    """A model whose logits are not those of its head."""
    torch.manual_seed(0)
    config = CohereConfig(
        vocab_size=LETTERS, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, logit_scale=0.25,
    )  # fmt: skip
    return CohereForCausalLM(config)


@torch.no_grad()
def log_probabilities(runner: Runner) -> torch.Tensor:
    return torch.cat([runner.answer(batch) for batch in batches_of()]).double()


@pytest.mark.parametrize("kind", ["tied", "untied", "scaled", "bfloat16"])
def test_divergence_is_that_of_the_distributions(kind: str) -> None:
    model = scaled() if kind == "scaled" else causal_model(tied=kind == "tied")
    if kind == "bfloat16":
        for value in model.parameters():
            value.data = value.data.bfloat16().float()
    runner = runner_of(model)
    reference, answers = ReferenceAnswers.of(runner, batches_of()), log_probabilities(runner)
    moved(model)
    found = reference.compare(runner)
    now = log_probabilities(runner)
    expected = float((answers.exp() * (answers - now)).sum(1).mean())
    assert expected > 1e-3
    assert found.mean_divergence == pytest.approx(expected, rel=0.02)
    ids = torch.cat([batch.ids for batch in batches_of()])
    losses = [-now.view(*ids.shape, -1)[:, :-1].gather(2, ids[:, 1:, None]).mean()]
    assert found.mean_loss == pytest.approx(float(losses[0]), rel=1e-5)


def test_a_model_does_not_diverge_from_itself() -> None:
    runner = runner_of(causal_model())
    reference = ReferenceAnswers.of(runner, batches_of())
    found = reference.compare(runner)
    assert found.mean_divergence == pytest.approx(0.0, abs=1e-6)
    assert found.mean_loss == reference.own.mean_loss


def test_an_encoder_has_a_distance_and_no_loss() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=LETTERS, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    runner = runner_of(BertModel(config), causal=False)
    reference = ReferenceAnswers.of(runner, batches_of())
    moved(runner.model)
    found = reference.compare(runner)
    assert found.mean_divergence > 0
    assert found.mean_loss is None
    assert effect_of(found, reference.own, found).gain_kept is None


def test_the_share_of_a_gain_has_an_error_that_falls_with_the_number_of_sequences() -> None:
    draw = np.random.default_rng(0)
    errors = []
    for count in (16, 256):
        gains = 1.0 + 0.1 * draw.standard_normal(count)
        base, tuned = gains + 2.0, np.full(count, 2.0)
        share, error = share_kept(
            base, tuned, base - 0.9 * gains - 0.2 * draw.standard_normal(count)
        )
        assert error is not None
        assert abs(share - 0.9) < 3 * error
        errors.append(error)
    assert errors[1] < errors[0]
    assert share_kept(np.array([3.0]), np.array([2.0]), np.array([2.5])) == (0.5, None)


def test_an_effect_is_read_back_from_the_settings(tmp_path: Path) -> None:
    assert tmp_path.is_dir()
    runner = runner_of(causal_model())
    reference = ReferenceAnswers.of(runner, batches_of())
    moved(runner.model)
    base = reference.compare(runner)
    effect = effect_of(base, reference.own, reference.own)
    again = type(effect).of_settings(effect.settings)
    assert again is not None
    assert again.settings == effect.settings
    assert type(effect).of_settings({"keep": 0.9}) is None


def suppressing(model: Any, token: int) -> Any:
    """The model with a logit of -inf for one token, as suppressed tokens have."""
    head = torch.nn.Linear(model.lm_head.in_features, LETTERS)
    head.weight = model.lm_head.weight
    head.bias.data.zero_()[token] = -torch.inf
    model.lm_head = head
    return model


def test_token_that_both_models_suppress_does_not_count() -> None:
    unused = LETTERS - 1
    batches = [
        Batch(part.ids.masked_fill(part.ids == unused, 0), part.mask) for part in batches_of()
    ]
    runner = runner_of(suppressing(causal_model(tied=False), unused))
    reference = ReferenceAnswers.of(runner, batches)
    assert reference.compare(runner).mean_divergence == pytest.approx(0, abs=1e-5)


def test_infinite_divergence_and_loss_are_errors() -> None:
    batches = batches_of()
    plain = runner_of(causal_model(tied=False))
    reference = ReferenceAnswers.of(plain, batches)
    infinite = runner_of(suppressing(causal_model(tied=False), int(batches[0].ids[0, 1])))
    with pytest.raises(GraftError, match="is not finite"):
        reference.compare(infinite)
    with pytest.raises(GraftError, match="is not finite"):
        ReferenceAnswers.of(infinite, batches)
