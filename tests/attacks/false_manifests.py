"""Honest packs of every scheme on one tiny base, and every false statement of a manifest."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from attack_worlds import Forge, forge_of, setting_in
from false_manifest_models import (
    EMBED,
    HEAD,
    QUERY,
    UP,
    Tensors,
    nudged,
    write_adapter,
    write_model,
)

from skillpm.archive.reader import open_pack
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.encoding.schemes import GraftLLM, Lossless, Scheme
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.flows.inspect.verify import Verified, verify_pack
from skillpm.flows.pack.attachments import Attach, Attachment
from skillpm.flows.pack.fit_auto import fit
from skillpm.flows.pack.model_pair import ModelPair, PackRequest
from skillpm.flows.pack.pack import pack
from skillpm.flows.pack.scheme import EncodingTarget
from skillpm.flows.packs.composition import opened
from skillpm.flows.session.session import Session
from skillpm.routing.signature import Signature
from skillpm.spec import oci
from skillpm.spec.budget import Budget
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Capability
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm.store.packs import fetch_pack

NORM, BUFFER = "model.layers.0.input_layernorm.weight", "model.rotary.inv_freq"
SHAPES = {EMBED: (24, 16), HEAD: (24, 16), QUERY: (16, 16), UP: (32, 16), NORM: (16,), BUFFER: (4,)}
ITEMS = (
    {"question": "1+1", "choices": ["2", "3"], "answer": 0},
    {"question": "2+2", "choices": ["4", "5"], "answer": 0},
)
OTHER = str(Digest.of(b"another thing"))
SCHEMES = ("lossless", "graftllm", "keep", "budget", "lora", "layered")


def _attach(_session: Session, against: ModelPair) -> Attachment:
    """Probes and a router signature in the form of `pack`, for models that cannot run here."""
    probes = b"\n".join(json.dumps(item).encode() for item in ITEMS)
    random = np.random.default_rng(7)
    sample = random.standard_normal((16, 8))
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    signature = Signature(against.reference.base.identity.root, sample[:10], sample[10:], "file")
    recorded = Capability(
        name="probe",
        metric="multiple_choice",
        value=1.0,
        base_value=0.5,
        samples=len(ITEMS),
        probes=Digest.of(probes),
    )
    measured = Capability(name="gsm8k", metric="accuracy", value=0.7, base_value=0.5, samples=100)
    layers = (
        (oci.PROBES_TYPE, probes, "probes.jsonl"),
        (oci.ROUTER_TYPE, signature.dumps(), "router.safetensors"),
    )
    return Attachment(layers, (recorded, measured))


@dataclass(frozen=True)
class LieWorld:
    """A base, and an honest pack of each kind."""

    folder: Path
    session: Session
    base: Path
    packs: dict[str, Path]

    def verify(self, path: Path) -> Verified:
        """As `skillpm verify --base`."""
        return verify_pack(self.session, path, self.base)

    def forge(self, name: str) -> Forge:
        """Read a pack into its documents and layers."""
        return forge_of(self.packs[name])

    def lie(self, name: str, manifest: dict[str, Any], path: Path) -> Path:
        """The pack with another manifest; all digests and annotations are recomputed."""
        forge = self.forge(name)
        forge.manifest = manifest
        forge.image["annotations"] = _annotations(manifest)
        return forge.write(path)


def _annotations(manifest: dict[str, Any]) -> dict[str, str]:
    authors = [str(one) for one in manifest.get("authors") or []]
    known = {
        "title": manifest.get("skill"),
        "version": manifest.get("version"),
        "description": manifest.get("summary"),
        "licenses": manifest.get("license"),
        "authors": ", ".join(authors),
        "created": manifest.get("created"),
        "base.name": manifest.get("base", {}).get("name"),
    }
    return {f"org.opencontainers.image.{key}": str(text) for key, text in known.items() if text}


def make_lie_world(folder: Path) -> LieWorld:
    """Make every pack. Takes a second."""
    random = np.random.default_rng(1)
    before = {name: random.standard_normal(s).astype("<f4") for name, s in SHAPES.items()}
    base = write_model(folder / "base", before)
    after = nudged(before, 2, EMBED, HEAD, QUERY, UP, NORM)
    del after[BUFFER]
    after["score.weight"] = np.full((2, 2), 7, dtype="<f4")
    tuned = write_model(folder / "tuned", after)
    session, packs = setting_in(folder), dict[str, Path]()

    def cut(
        name: str,
        model: Path,
        scheme: Scheme | EncodingTarget,
        attach: tuple[Attach, ...] = (),
        over: tuple[str, ...] = (),
    ) -> None:
        packs[name] = folder / f"{name}.skillpack"
        request = PackRequest(
            base, model, SkillName.parse(f"acme/{name}"), Version.parse("1.0.0"),
            output=packs[name], summary="adds up", license="MIT", authors=("A. Author",),
            sources=("a/model",), data=("some text",), method="sft", over=over,
        )  # fmt: skip
        pack(session, request, scheme, attach)

    cut("lossless", tuned, Lossless(), attach=(_attach,))
    cut("graftllm", tuned, GraftLLM(decompose, alpha=0.5))
    cut("keep", tuned, EncodingTarget(fit, keep=0.9))
    cut("budget", tuned, EncodingTarget(fit, budget=Budget.parse("24kB")))
    cut("lora", write_adapter(folder / "adapter"), Lossless())
    lower = open_pack(packs["lossless"])
    fetch_pack(session.store, lower.digest, lower)
    grafted = _graft(base, packs["lossless"])
    above = write_model(folder / "above", nudged(grafted, 3, QUERY, NORM))
    cut("layered", above, Lossless(), over=(str(packs["lossless"]),))
    return LieWorld(folder, session, base, packs)


def _graft(base: Path, path: Path) -> Tensors:
    found = Composition(open_checkpoint(base), [WeightedPack(opened([open_pack(path)])[0])])
    return {
        name: np.frombuffer(b"".join(found.chunks(name)), "<f4").reshape(spec.shape).copy()
        for name, spec in found.specs.items()
    }


@dataclass(frozen=True)
class Lie:
    """A manifest that differs from the honest one at one path."""

    path: str
    value: object
    manifest: dict[str, Any]


def lies(manifest: dict[str, Any]) -> Iterator[Lie]:
    """Every leaf with other values, and every item of a list or a table removed."""
    for steps, value in _nodes(manifest, ()):
        for other in _others(steps, value):
            changed = copy.deepcopy(manifest)
            _set(changed, steps, other)
            yield Lie(path_text(steps), other, changed)
        if isinstance(value, list | dict):
            for key in list(value) if isinstance(value, dict) else range(len(value)):
                if value[key] is None:
                    continue  # a removed item is null
                changed = copy.deepcopy(manifest)
                del _at(changed, steps)[key]
                yield Lie(path_text((*steps, key)), "left out", changed)


Steps = tuple[int | str, ...]


def _nodes(value: Any, steps: Steps) -> Iterator[tuple[Steps, Any]]:
    yield steps, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _nodes(inner, (*steps, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _nodes(inner, (*steps, place))


def _at(document: Any, steps: Steps) -> Any:
    for step in steps:
        document = document[step]
    return document


def _set(document: Any, steps: Steps, value: object) -> None:
    _at(document, steps[:-1])[steps[-1]] = value


def path_text(steps: Steps) -> str:
    """The path as in messages: `footprint[3].leaf`."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


WORDS = {
    "change": ("changed", "added", "removed", "resized"),
    "codec": ("lossless", "whole", "topk", "svd", "lowrank", "zero", "grid", "none"),
    "scheme": ("lossless", "graftllm", "auto"),
    "dtype": ("F16", "BF16", "I32"),
    "kind": ("file", "patch", "removed"),
    "metric": ("accuracy", "mrr", "token_loss"),
    "columns": ("8/3/2", "8/4/2"),
    "skill": ("acme/another", "acme/graftllm"),
    "version": ("1.0.1", "9.9.9"),
    "architecture": ("BertModel",),
    "created": ("1999-01-01T00:00:00Z", "yesterday"),
    "license": ("GPL-3.0-only",),
    "tensor": ("another.tensor", EMBED),
    "budget": ("1B", "1GB", "much"),
    "path": ("vocab.txt", "tokenizer.model"),
}


def _others(steps: Steps, value: Any) -> Iterator[object]:
    if not steps:
        return
    key = next(step for step in reversed(steps) if isinstance(step, str))
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        others = (value + 1, value * 10, 0, -1, 1e308, value * 0.5)
        yield from (other for other in others if other != value)
    elif value is None:
        yield from ("x", 1, OTHER)
    elif isinstance(value, str):
        words = WORDS.get(key, ())
        if value.startswith("sha256:"):
            words = (OTHER, "sha256:" + "0" * 64)
        elif key == "sketch":
            words = tuple(_sketches(value))
        elif key in ("requires", "conflicts"):
            words = ("acme/another ^1",)
        yield from (word for word in words or (f"{value}x", "") if word != value)


def _sketches(text: str) -> Iterator[str]:
    """Sketches with the last bit of a bucket changed, of half the delta, and of zero."""
    import base64

    values = np.frombuffer(base64.b64decode(text), "<f4").copy()
    for other in (0.5 * values, np.zeros_like(values), np.roll(values, 1)):
        yield base64.b64encode(other.astype("<f4").tobytes()).decode()
    values[9] = np.nextafter(values[9], np.float32(np.inf))
    yield base64.b64encode(values.tobytes()).decode()
