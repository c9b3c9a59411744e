"""Valid documents that the fuzz targets alter."""

from typing import Any

from skillpm.spec import json

ROOT = "sha256:" + "ab" * 32


def dump(plain: Any) -> bytes:
    """Canonical JSON."""
    return json.canonical(plain)


def descriptor(kind: str, size: int = 5) -> dict[str, Any]:
    """An OCI descriptor."""
    return {"mediaType": kind, "digest": ROOT, "size": size}


IMAGE = {
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "artifactType": "application/vnd.skillpm.skillpack.v1+json",
    "config": descriptor("application/vnd.skillpm.manifest.v1+json"),
    "layers": [descriptor("application/vnd.skillpm.delta.v1+safetensors")],
    "annotations": {"org.opencontainers.image.title": "x"},
}  # fmt: skip
BUNDLE = {
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "artifactType": "application/vnd.skillpm.bundle.v1+json",
    "config": descriptor("application/vnd.skillpm.base.v1+json"),
    "layers": [descriptor("application/vnd.skillpm.lock.v1+toml")],
}  # fmt: skip
INDEX = {
    "schemaVersion": 2,
    "manifests": [{
        **descriptor("application/vnd.oci.image.manifest.v1+json"),
        "annotations": {"org.opencontainers.image.ref.name": "1.0.0"},
    }],
}  # fmt: skip
ADVISORY = {
    "id": "ACME-1", "modified": "2026-01-31T12:00:00Z", "summary": "bad", "aliases": ["CVE-1"],
    "severity": [{"type": "CVSS_V3", "score": "9.8"}], "database_specific": {"severity": "high"},
    "affected": [{
        "package": {"ecosystem": "skillpm", "name": "acme/x"}, "versions": ["1.0.0"],
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}],
    }],
}  # fmt: skip
SIDE_FILES = {
    "config.json": {"vocab_size": 5, "auto_map": None},
    "generation_config.json": {"temperature": 0.5, "eos_token_id": [1, 2]},
    "tokenizer_config.json": {"model_max_length": 5, "chat_template": "{{ messages }}"},
    "special_tokens_map.json": {"eos_token": {"content": "</s>", "lstrip": False}},
    "processor_config.json": {"image_size": 5, "mean": [0.5]},
}
GENERATION = {
    "number": 1, "created": "2026-01-01T00:00:00Z", "action": "install", "base_root": ROOT,
    "skills": [{
        "skill": "acme/x", "version": "1.0.0", "digest": ROOT, "scheme": "lossless",
        "registry": "default", "payload_bytes": 5, "weight": 0.5,
    }],
    "wishes": {"acme/x": {"version": "^1"}}, "lock": "version = 1", "format": 1,
}  # fmt: skip
PLAN = {
    "schema_version": 1, "plan": {
        "format": 1, "action": "install", "frozen": False,
        "basis": {"project_file": ROOT, "lock": ROOT, "generation": 1, "base_root": ROOT},
        "lock": {
            "version": 1, "base": {"name": "tiny", "root": ROOT}, "graft": {"method": "sum"},
            "skill": [{
                "skill": "acme/x", "version": "1.0.0", "digest": ROOT, "size": 5,
                "registry": "default", "weight": 1.0, "requires": ["acme/b ^1"],
            }, {
                "skill": "acme/b", "version": "1.0.0", "digest": ROOT, "size": 5,
                "registry": "default", "weight": 1.0, "requires": [],
            }],
        },
        "wishes": {"acme/x": {"version": "^1"}}, "files": [{"path": "/x", "digest": ROOT}],
    },
}  # fmt: skip
INTENT = {
    "kind": "switch", "number": 3,
    "files": [{"name": "skillpm.toml", "before": ROOT, "after": "x"}],
}  # fmt: skip
SWAP = {"kind": "graft", "ready": True, "folder": ["out"], "name": "graft"}
PROBES = (
    b'{"probes": 1, "tolerance": 0.1, "tolerances": {"exact_match": 0.2}}\n'
    b'{"prompt": "1+1=", "answer": "2"}\n{"prompt": "2+2=", "answer": "4"}\n'
    b'{"question": "1+1?", "choices": ["1", "2"], "answer": 1}\n{"text": "a text"}\n'
)
ADAPTER = {
    "peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"q_proj": 3}, "bias": "none",
    "alpha_pattern": {r"layers\.\d+\.v_proj": 8}, "target_modules": ["q_proj"],
    "modules_to_save": ["head"], "use_rslora": True, "init_lora_weights": True,
}  # fmt: skip
SAVED = {"skills": {"acme/math": {"1.0.0": {
    "requires": ["acme/numbers ^1"], "conflicts": [], "yanked": False, "base": ROOT,
}}}}  # fmt: skip
PROJECT = f"""[project]
base = "../model"
root = "{ROOT}"

[skills]
"acme/math" = "^1.2" # kept
"acme/sql" = {{ version = ">=1, <2", weight = 0.5, registry = "corp" }}

[graft]
mode = "merged"

[registries]
corp = {{ url = "https://bob:pw@r.example/x", namespaces = ["corp"] }}

[audit]
fail-on = "high"
""".encode()
LOCK = f"""version = 1

[base]
name = "tiny"
root = "{ROOT}"

[graft]
mode = "merged"
method = "sum"
root = "{ROOT}"

[[skill]]
skill = "acme/math"
version = "1.2.0"
digest = "{ROOT}"
size = 100
registry = "default"
weight = 1.0
requires = ["acme/b ^1"]
""".encode()
KEYS = b"\n".join(
    f"base_model.model.model.layers.{n}.q_proj.lora_{side}.default.weight".encode()
    for n in range(2)
    for side in "AB"
)
CONFIG = b'registry = "./r"\nworkers = 2\ncolor = "auto"\noffline = true\nlock-timeout = 3.5\n'
