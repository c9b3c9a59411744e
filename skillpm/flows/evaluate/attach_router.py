"""`pack --router`: compute a router signature from example texts, with the original base."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from skillpm.calibration.texts import read_texts
from skillpm.errors import GraftError, SpecError
from skillpm.flows.pack.attachments import Attachment
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.routing.features import IMAGINED, features, own_background
from skillpm.routing.signature import FEWEST, MOST, MOST_BACKGROUND, Array, Signature
from skillpm.running.runner import Runner
from skillpm.spec.digests import Digest
from skillpm.spec.oci import ROUTER_TYPE

TITLE = "router.safetensors"


def attach_signature(
    session: Session, models: ModelPair, /, *, examples: Path, background: Path | None, device: str
) -> Attachment:
    """Return the layer with the router signature.

    The features come from the original base, also for a layered pack. Raises `SpecError` for too
    few examples, `GraftError` if the base cannot be run.
    """
    texts = _read_examples(examples)
    general = None if background is None else read_texts(background)
    base = models.reference.base
    if base.folder is None:
        raise GraftError(
            f"`--router` runs the base; expected a model folder, found the file `{base.label}`",
            hint="name the folder of the base, or pack without `--router`",
        )
    runner = Runner.load(base.folder, device)
    if general is None and runner.causal:
        session.say(
            f"no --router-background: generating {IMAGINED} background texts with the base; a file "
            "of general text gives a better signature in less time"
        )
    advance = session.progress("router examples", len(texts))
    signature = make_signature(runner, texts, general, base.identity.root)
    advance(len(texts))
    return Attachment(((ROUTER_TYPE, signature.dumps(), TITLE),))


def make_signature(
    runner: Runner, texts: Sequence[str], general: Sequence[str] | None, base: Digest
) -> Signature:
    """Return the signature of example texts; without `general` text, generate background texts.

    Raises `SpecError` if the tokenizer of the base finds tokens in too few of them.
    """
    kept = _nonzero_rows(features(runner, sample_texts(texts, MOST)))
    if len(kept) < FEWEST:
        raise SpecError(
            f"the base's tokenizer finds tokens in {len(kept)} of the examples; a router signature "
            f"needs at least {FEWEST}",
            hint="give `--router` a file of texts that the base's tokenizer can encode",
        )
    if general is None:
        generated = _nonzero_rows(own_background(runner))
        return Signature(base, kept, generated, "imagined" if len(generated) else "none")
    return Signature(
        base, kept, _nonzero_rows(features(runner, sample_texts(general, MOST_BACKGROUND))), "file"
    )


def _nonzero_rows(rows: Array) -> Array:
    """Drop the rows of texts without tokens, whose features are all 0."""
    return rows[rows.any(axis=1)]


def _read_examples(path: Path) -> list[str]:
    texts = sorted({text.strip() for text in read_texts(path)})
    if len(texts) < FEWEST:
        raise SpecError(
            f"`{path}` has {len(texts)} different examples; a router signature needs at least "
            f"{FEWEST}",
            hint="add examples of the skill's inputs; 32 to 128 make a good signature",
        )
    return texts


def sample_texts(texts: Iterable[str], most: int) -> list[str]:
    """Sample up to `most` different texts by hash, so that their order has no effect."""
    return sorted(set(texts), key=lambda text: sha256(text.encode()).digest())[:most]
