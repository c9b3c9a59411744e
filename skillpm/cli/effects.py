"""Output of the effects that `pack` measured, as text and as JSON documents."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NotRequired, TypedDict

from skillpm.spec.effect import PROBES, PackEffect, Scores

if TYPE_CHECKING:
    from skillpm.spec.manifest import Manifest

_HELD_OUT = "held-out text"


class ScoresDocument(TypedDict):
    """The values of one metric for base, tuned model, and base with the pack."""

    base: float
    tuned: float
    pack: float


class EffectDocument(TypedDict):
    """What a pack does on a text: `held-out text` of `--calibration`, or `probes`.

    Divergences are from the tuned model. An encoder has no loss, and some tuned models no gain.
    """

    text: str
    divergence: float
    base_divergence: float
    loss: float | None
    base_loss: float | None
    tuned_loss: float | None
    gain_kept: float | None
    gain_error: float | None
    scores: NotRequired[dict[str, ScoresDocument]]


def _effects(manifest: "Manifest") -> dict[str, PackEffect]:
    """The recorded effects of a pack, by the text on which they were measured."""
    settings = manifest.compression.settings
    recorded = {_HELD_OUT: settings, PROBES: settings.get(PROBES, {})}
    found = {name: PackEffect.of_settings(plain) for name, plain in recorded.items()}
    return {name: effect for name, effect in found.items() if effect is not None}


def effect_documents(manifest: "Manifest") -> list[EffectDocument]:
    """The effects as JSON documents; none for an exact pack."""
    return [_document(name, effect) for name, effect in _effects(manifest).items()]


def _document(text: str, effect: PackEffect) -> EffectDocument:
    document: EffectDocument = {
        "text": text,
        "divergence": effect.divergence,
        "base_divergence": effect.base_divergence,
        "loss": effect.loss,
        "base_loss": effect.base_loss,
        "tuned_loss": effect.tuned_loss,
        "gain_kept": effect.gain_kept,
        "gain_error": effect.gain_error,
    }
    if effect.scores:
        document["scores"] = {name: _scores(each) for name, each in effect.scores.items()}
    return document


def _scores(scores: Scores) -> ScoresDocument:
    return {"base": scores.base, "tuned": scores.tuned, "pack": scores.pack}


def effect_lines(manifest: "Manifest") -> Iterator[str]:
    """Yield what the pack does on each text."""
    for name, effect in _effects(manifest).items():
        facts = []
        if effect.gain_kept is not None:
            error = "" if effect.gain_error is None else f" ± {100 * effect.gain_error:.1f}"
            facts.append(f"{100 * effect.gain_kept:.1f}{error} % of the gain kept")
        if effect.loss is not None:
            facts.append(
                f"loss {effect.loss:.4f} (base {effect.base_loss:.4f}, "
                f"tuned {effect.tuned_loss:.4f})"
            )
        facts.append(
            f"differs from the tuned model by {effect.divergence:.3g} nats "
            f"(the base: {effect.base_divergence:.3g})"
        )
        facts += [
            f"{metric} {scores.pack:g} (base {scores.base:g}, tuned {scores.tuned:g})"
            for metric, scores in effect.scores.items()
        ]
        yield f"{name}: {'; '.join(facts)}"
