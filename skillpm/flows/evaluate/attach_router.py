"""The router signature of `pack --router`: a skill's examples, as the original base sees them."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from skillpm.calibration.texts import read_texts
from skillpm.errors import GraftError, SpecError
from skillpm.flows.pack.manifest import Attachment, ModelPair
from skillpm.flows.session.session import Session
from skillpm.routing.features import IMAGINED, features, own_background
from skillpm.routing.signature import FEWEST, MOST, MOST_BACKGROUND, Array, Signature
from skillpm.running.runner import Runner
from skillpm.spec.digests import Digest
from skillpm.spec.oci import ROUTER_TYPE

TITLE = "router.safetensors"


def attach_signature(
    session: Session, against: ModelPair, /, *, examples: Path, background: Path | None, device: str
) -> Attachment:
    """Make the layer. The features are those of the original base, also for a pack over others.

    Raises `SpecError` where there are too few examples, `GraftError` where the base cannot be run.
    """
    texts = _few(examples)
    general = None if background is None else read_texts(background)
    base = against.reference.base
    if base.folder is None:
        raise GraftError(
            "`--router` runs the base, which must be a model folder with its tokenizer",
            hint="name the folder, or leave out --router",
        )
    runner = Runner.load(base.folder, device)
    if general is None and runner.causal:
        session.say(
            f"no --router-background: the base makes up {IMAGINED} texts, to know its own by; a "
            "file of general text tells more, and takes less time"
        )
    advance = session.progress("router examples", len(texts))
    signature = sign(runner, texts, general, against.reference.base_identity.root)
    advance(len(texts))
    return Attachment(((ROUTER_TYPE, signature.dumps(), TITLE),))


def sign(
    runner: Runner, texts: Sequence[str], general: Sequence[str] | None, base: Digest
) -> Signature:
    """The signature of example texts; without `general` text the base makes up its own.

    Raises `SpecError` where the base sees tokens in too few of them.
    """
    kept = _seen(features(runner, drawn(texts, MOST)))
    if len(kept) < FEWEST:
        raise SpecError(
            f"only {len(kept)} of the examples have tokens for this base: a router signature needs "
            f"{FEWEST}",
            hint="give `--router` texts that the base's tokenizer can read",
        )
    if general is None:
        own = _seen(own_background(runner))
        return Signature(base, kept, own, "imagined" if len(own) else "none")
    return Signature(base, kept, _seen(features(runner, drawn(general, MOST_BACKGROUND))), "file")


def _seen(rows: Array) -> Array:
    """The rows of texts that the base sees: one without a token has features 0, and no length."""
    return rows[rows.any(axis=1)]


def _few(path: Path) -> list[str]:
    texts = sorted({text.strip() for text in read_texts(path)})
    if len(texts) < FEWEST:
        raise SpecError(
            f"`{path}` holds {len(texts)} different examples: a router signature needs {FEWEST} at "
            "the least",
            hint="32 to 128 inputs as the skill will get them are a good sample",
        )
    return texts


def drawn(texts: Iterable[str], most: int) -> list[str]:
    """Up to `most` different texts; the order that they stood in changes nothing."""
    return sorted(set(texts), key=lambda text: sha256(text.encode()).digest())[:most]
