"""What a config says otherwise than another, told by what transformers reads in both."""

from typing import Any

from transformers import AutoConfig

from skillpm.flows.sidefiles import changed_keys
from skillpm.running.folder import UNRUNNABLE
from skillpm.spec import json

_KIND = "model_type"


def changed_settings(old: bytes | None, new: bytes) -> frozenset[str]:
    """The keys of a `config.json` by which another model is built.

    A default that only one of both spells out changes nothing: releases of transformers differ in
    what they write. Where a config cannot be read, all keys that differ in the files are meant, and
    so is a key that is read into another (`rope_theta`).
    """
    told = changed_keys(old, new)
    if not told or _KIND in told:
        return told
    try:
        one, other = _read(old or b"{}"), _read(new)
    except UNRUNNABLE:
        return told
    return frozenset(
        key for key in told if key not in one or key not in other or one[key] != other[key]
    )


def _read(text: bytes) -> dict[str, Any]:
    plain = json.parse_object(text, "`config.json`", foreign=True)
    kind = str(plain.pop(_KIND, ""))
    found: dict[str, Any] = AutoConfig.for_model(kind, **plain).to_dict()
    return found
