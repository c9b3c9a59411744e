"""Bases made of SHA-256 in counter mode, packs made from them, and their decoding.

Run as a script, it prints the root of a golden pack on its base: `golden_worlds.py PACK WORKERS`.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
from golden_adapters import write_adapter

from skillpm.archive.reader import open_pack
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint
from skillpm.checkpoint.write import write_all
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.flows.pack.model_pair import PackRequest
from skillpm.flows.pack.pack import pack
from skillpm.flows.packs.composition import composed_identity
from skillpm.spec.dtypes import TensorSpec, is_float
from skillpm.spec.names import SkillName
from skillpm.spec.safetensors import dump_header, layout
from skillpm.spec.versions import Version

HERE = Path(__file__).parent
Tensors = dict[str, tuple[str, tuple[int, ...]]]

MIXED: Tensors = {
    "embed_tokens.weight": ("BF16", (96, 64)),
    "layers.0.attn.q_proj.weight": ("F32", (64, 96)),
    "layers.0.mlp.up_proj.weight": ("F16", (96, 64)),
    "layers.0.mlp.down_proj.weight": ("F8_E4M3", (64, 96)),
    "layers.1.mlp.down_proj.weight": ("F8_E5M2", (64, 96)),
    "layers.1.mlp.up_proj.weight": ("F64", (40, 64)),
    "layers.1.norm.weight": ("F32", (64,)),
    "layers.2.mlp.up_proj.weight": ("F32", (256, 160)),
    "position_ids": ("I64", (128,)),
    "scale": ("F32", ()),
    "mask": ("BOOL", (40,)),
}
WIDE: Tensors = {
    "embed_tokens.weight": ("BF16", (128, 96)),
    "layers.0.attn.q_proj.weight": ("BF16", (96, 96)),
    "layers.0.mlp.up_proj.weight": ("F16", (160, 96)),
    "layers.0.norm.weight": ("BF16", (96,)),
    "layers.1.attn.q_proj.weight": ("F32", (96, 96)),
    "layers.1.mlp.down_proj.weight": ("F32", (96, 160)),
    "lm_head.weight": ("BF16", (128, 96)),
}
ADAPTERS = {"lora": False, "dora": True}
WORLDS = {
    "lossless": MIXED, "graftllm-832": WIDE, "graftllm-842": WIDE, "lora": WIDE, "dora": WIDE,
}  # fmt: skip


def _uniform(seed: str, count: int) -> np.ndarray:
    """Numbers in [-1, 1) from SHA-256 of (seed, counter)."""
    blocks = range(-(-count // 8))
    data = b"".join(hashlib.sha256(f"{seed} {n}".encode()).digest() for n in blocks)
    words = np.frombuffer(data, dtype="<i4")[:count]
    return words.astype(np.float64) / 2.0**31


def _tensor(spec: TensorSpec, *, tuned: bool) -> bytes:
    values = _uniform(spec.name, spec.elements)
    if not is_float(spec.dtype):
        whole = (values * 100).astype(np.int64) + (np.arange(spec.elements) % 7 == 0) * tuned
        plain = whole % 2 if spec.dtype == "BOOL" else whole
        return bytes(plain.astype("<i8" if spec.dtype == "I64" else "u1").tobytes())
    words, _ = from_float64(values, spec.dtype)
    if tuned:
        step = _uniform(f"{spec.name} tuned", spec.elements) / 8
        if spec.dtype == "F16" or spec.name.startswith("layers.2."):
            every = 31 if spec.dtype == "F16" else 8
            step[np.arange(step.size) % every != 0] = 0.0
        words, _ = from_float64(to_float64(words, spec.dtype) + step, spec.dtype)
    return words.tobytes()


def write_model(path: Path, tensors: Tensors, *, tuned: bool) -> Path:
    """A safetensors file of the base, or of the model that is tuned from it."""
    placed = layout([TensorSpec(name, *what) for name, what in tensors.items()])
    data = b"".join(_tensor(each.spec, tuned=tuned) for each in placed)
    with path.open("wb") as file:
        write_all(file.fileno(), dump_header(placed, {}) + data, 0)
    return path


def cut_pack(folder: Path, name: str, output: Path) -> None:
    """Make one golden pack again."""
    from skillpm.delta.encoding.schemes import GraftLLM, Lossless
    from skillpm.delta.encoding.torch_svd import decompose

    base = write_model(folder / "base.safetensors", WORLDS[name], tuned=False)
    if name in ADAPTERS:
        tuned = write_adapter(folder / name, dora=ADAPTERS[name])
    else:
        tuned = write_model(folder / "tuned.safetensors", WORLDS[name], tuned=True)
    skill, version = SkillName.parse(f"golden/{name}"), Version.parse("1.0.0")
    columns = "8/3/2" if name.endswith("832") else "8/4/2"
    lossless = name == "lossless" or name in ADAPTERS
    scheme = Lossless() if lossless else GraftLLM(decompose, columns=columns)
    from file_sessions import session_in  # the script, which makes no pack, runs without it

    pack(session_in(folder), PackRequest(base, tuned, skill, version, output=output), scheme)


def decoded_root(folder: Path, path: Path, workers: int) -> str:
    """The root of base + pack, decoded in this process."""
    opened = open_pack(path)
    name = path.stem
    model = open_checkpoint(write_model(folder / "base.safetensors", WORLDS[name], tuned=False))
    identity = identify(model, workers=workers)
    one = OpenPack.of(opened.manifest, opened.open_layer)
    composition = Composition(model, [WeightedPack(one)])
    found = composed_identity(composition, identity, workers=workers, advance=lambda _n: None)
    half = Composition(model, [WeightedPack(one, 0.5)])
    weighted = composed_identity(half, identity, workers=workers, advance=lambda _n: None)
    return f"{identity.root} {found.root} {weighted.root}"


if __name__ == "__main__":
    sys.stdout.write(decoded_root(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
