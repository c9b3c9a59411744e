"""Rotary-embedding settings of configs, which transformers 4 and 5 write differently.

Version 4 writes `rope_theta`, `rope_scaling` and `partial_rotary_factor`. Version 5 writes all of
them to `rope_parameters`, and reads both forms.
"""

from collections.abc import Mapping
from typing import Any

KEYS = frozenset({"rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor"})


def rotary_settings(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The rotary settings in the form of version 5; None if they differ by layer type."""
    written = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(written, dict) or any(isinstance(value, dict) for value in written.values()):
        return None
    settings = {key: value for key, value in written.items() if value is not None}
    kind = settings.pop("type", "default")
    settings.setdefault("rope_type", kind)
    for key in ("rope_theta", "partial_rotary_factor"):
        if config.get(key) is not None:
            settings.setdefault(key, config[key])
    return {
        key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for key, value in settings.items()
    }


def same_rotary(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether two configs have the same rotary settings, in either form."""
    ours, theirs = rotary_settings(before), rotary_settings(after)
    return ours is not None and ours == theirs
