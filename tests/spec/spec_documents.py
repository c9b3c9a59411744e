"""Complete valid documents, for tests that alter them."""

from copy import deepcopy
from typing import Any

from skillpm.spec.digests import Digest

A, B, C = (str(Digest.of(name.encode())) for name in "abc")


ENTRY = {
    "tensor": "w",
    "change": "changed",
    "shape": [3, 4],
    "dtype": "BF16",
    "leaf": A,
    "result": B,
    "codec": "planes",
    "layer": C,
}


COMPRESSION = {
    "scheme": "lossless",
    "settings": {"level": 19},
    "payload_bytes": 10,
    "delta_bytes": 24,
    "ratio": 2.4,
    "relative_error": 0.0,
    "modules": {"mlp": {"codec": "planes", "bytes": 10, "relative_error": None}},
}
FACTS = {
    "tied": {"lm_head.weight": "model.embed_tokens.weight"},
    "names": {"model": "language_model"},
    "config_keys": ["hidden_size", "text_config.hidden_size"],
    "library": "transformers 5.24.0",
}


def manifest_plain() -> dict[str, Any]:
    """A manifest in which no part is empty."""
    return {
        "format": 2,
        "skill": "acme/math",
        "version": "1.2.0",
        "summary": "adds up",
        "license": "MIT",
        "authors": ["A. Person"],
        "created": "2026-01-01T00:00:00Z",
        "base": {
            "name": "tiny",
            "root": A,
            "architecture": "Tiny",
            "dtype": "BF16",
            "parameters": 12,
            "tensors": 1,
        },
        "over": [],
        "requires": ["acme/b ^1"],
        "conflicts": ["acme/c"],
        "capabilities": [{"name": "sums", "metric": "accuracy", "value": 1, "samples": 7}],
        "compression": deepcopy(COMPRESSION),
        "footprint": [
            {**ENTRY},
            {**ENTRY, "tensor": "new.w", "change": "added", "leaf": None, "from": "old.w"},
        ],
        "result_root": B,
        "files": [{"path": "config.json", "digest": C, "kind": "patch"}],
        "architecture_facts": deepcopy(FACTS),
        "requires_capabilities": [
            {"capability": "sums", "metric": "accuracy", "at_least": 0.5, "probes": C}
        ],
        "lineage": [{"skill": "acme/a", "version": "0.1.0", "digest": A, "base": B}],
        "must_understand": ["lineage"],
        "sketch": "",
        "provenance": {"method": "sft", "sources": ["x"], "flops": 1e18},
    }


LOCK = f"""\
version = 1

[base]
name = "tiny"
root = "{A}"

[graft]
mode = "merge"
method = "sum"
root = "{B}"

[graft.settings]
dtype = "keep"

[[skill]]
skill = "acme/math"
version = "1.2.0"
digest = "{B}"
size = 1234
registry = "default"
weight = 0.5
requires = ["acme/b ^1"]

[[skill]]
skill = "acme/b"
version = "1.0.0-rc.1"
digest = "{C}"
size = 0
registry = "default"
weight = 1.0
requires = []
accept_footprint = true
"""

PROJECT = f"""\
[project]
base = "../base"
root = "{A}"

[skills]
"acme/math" = "^1.2"
"acme/b" = {{ version = ">=1, <2", weight = 0.5, registry = "inner" }}

[graft]
mode = "merge"

[registries]
inner = {{ url = "https://example.org", namespaces = ["inner", "acme"] }}
outer = "https://example.com"
"""


def image_plain() -> dict[str, Any]:
    """An OCI manifest of a pack with two layers."""
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.skillpm.skillpack.v1+json",
        "config": {
            "mediaType": "application/vnd.skillpm.manifest.v1+json",
            "digest": A,
            "size": 10,
        },
        "layers": [
            {
                "mediaType": "application/vnd.skillpm.delta.v1+safetensors",
                "digest": B,
                "size": 20,
                "annotations": {"org.opencontainers.image.title": "block"},
            },
            {"mediaType": "text/markdown", "digest": C, "size": 5},
        ],
        "annotations": {"org.opencontainers.image.version": "1.2.0"},
    }


def index_plain() -> dict[str, Any]:
    """A saved index with every key."""
    return {
        "skills": {
            "acme/math": {
                "1.0.0": {
                    "requires": ["acme/numbers ^1"],
                    "conflicts": ["acme/b"],
                    "yanked": True,
                    "base": A,
                },
                "1.1.0-rc.1": {},
            },
            "acme/numbers": {"1.0.0": {"base": None}},
        }
    }
