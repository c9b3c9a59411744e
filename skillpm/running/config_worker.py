"""The sandbox worker that builds a model of an untrusted config on the `meta` device.

The only request is `{"specs": {NAME: [DTYPE, SHAPE]}}`, with the tensors of the model's folder.
"""

import json
from pathlib import Path
from typing import Any

import torch._dynamo
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, modeling_utils

from skillpm.running.folder import is_causal
from skillpm.running.parameters import check_parameters
from skillpm.sandbox.worker import Handler
from skillpm.spec.config_numbers import check_numbers
from skillpm.spec.dtypes import TensorSpec

_CONFIG = "config.json"
_EARLY = (torch._dynamo, modeling_utils)  # noqa: SLF001 - model classes import it
"""Modules that must be imported before the confinement: they create a cache, and read /proc."""


def worker() -> Handler:
    """A handler that checks the config in the session's folder."""
    return _check


def _check(request: dict[str, Any]) -> dict[str, Any]:
    specs = {
        name: TensorSpec(name, dtype, tuple(shape))
        for name, (dtype, shape) in request["specs"].items()
    }
    here = Path.cwd()
    check_numbers(json.loads((here / _CONFIG).read_bytes()), specs)
    config: Any = AutoConfig.from_pretrained(here, trust_remote_code=False)
    causal = is_causal(config)
    kind: Any = AutoModelForCausalLM if causal else AutoModel
    check_parameters(
        lambda: kind.from_config(config, trust_remote_code=False),
        specs,
        packed=getattr(config, "quantization_config", None) is not None,
        complete=causal,
    )
    return {}
