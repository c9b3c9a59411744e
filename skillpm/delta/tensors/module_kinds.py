"""The purpose of a tensor by its name: the kind of its module, and its block.

Tables of sizes show the kinds, and the lossy schemes choose codecs by kind; each codec keeps its
error bound on any tensor. Verification recomputes both from the manifest alone, so no library is
consulted. What an adapter or an export may do with a tensor is decided by the model's class
(`skillpm.architecture`), never by these rules.
"""

import re
from functools import lru_cache
from typing import get_args

from skillpm.spec.manifest import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)

_RULES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("norm", re.compile(r"norm|(^|\.)ln(_|\d|\.)|layer_?norm|rms")),
    ("head", re.compile(
        r"lm_head|embed_out|classifier|(^|\.)(score|qa_outputs|cls)(\.|$)|predictions")),
    ("embedding", re.compile(r"embed|(^|\.)(wte|wpe|shared)(\.|$)|relative_attention_bias")),
    ("mlp", re.compile(
        r"mlp|ffn|feed_?forward|intermediate|experts|(^|\.)(fc\d|w[123]|c_fc)(\.|$)"
        r"|(gate|up|down|gate_up)_proj|layer\.\d+\.output\.|(^|\.)lin[12](\.|$)")),
    ("attention", re.compile(
        r"att(entio)?n|(^|\.)(q|k|v|o|qkv|out)_(proj|lin)(\.|$)|query|(^|\.)(key|value)(\.|$)"
        r"|c_attn")),
)  # fmt: skip
_NAMES = 1 << 16
"""Names whose kind is kept. Each stage of a command asks for the kind of each tensor."""
_BLOCK = re.compile(r"^(.*?\.\d+)\.")


@lru_cache(_NAMES)
def kind_of(tensor: str) -> Kind:
    """Return the kind of module: that of the first rule that matches, or `other`."""
    name = tensor.lower()
    if ".attention." in name and not _RULES[0][1].search(name):
        return "attention"
    return next((kind for kind, rule in _RULES if rule.search(name)), "other")


def block_of(tensor: str) -> str:
    """Return the numbered block that a tensor belongs to (`encoder.layer.3`), or else its module.

    The tensors of a block share a payload layer, so that two versions that differ in few blocks
    share the layers of all other blocks.
    """
    match = _BLOCK.match(tensor)
    return match[1] if match else tensor.rpartition(".")[0] or tensor
