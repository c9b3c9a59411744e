"""The worker of `running.foreign`: tokenizers and configs of strangers, read inside the sandbox.

Requests: `{"load": null}`, `{"text": TEXT, "most": COUNT or null}` and
`{"compare": [OLD, NEW], "keys": [KEY]}`.
"""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from skillpm.sandbox.worker import Handler

LONGEST = 1 << 18
"""Tokens of a text."""
_STAMPS = frozenset({"transformers_version", "_name_or_path"})
"""What a config says of how it was saved."""
_FACTS = ("pad_token_id", "eos_token_id", "sep_token_id", "model_max_length")


def worker() -> Handler:
    """A handler that knows one tokenizer: that of the session's folder."""
    return _TokenizerHandler().answer


class _TokenizerHandler:
    def __init__(self) -> None:
        self._tokenizer: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; raises whatever the tokenizer raises."""
        if "load" in request:
            self._tokenizer = AutoTokenizer.from_pretrained(Path.cwd(), trust_remote_code=False)
            return {name: getattr(self._tokenizer, name, None) for name in _FACTS}
        if "compare" in request:
            return {"changed": _changed(request["compare"], request["keys"])}
        return {"ids": self._ids(request["text"], request["most"])}

    def _ids(self, text: str, most: int | None) -> list[int]:
        cut = {"truncation": False} if most is None else {"truncation": True, "max_length": most}
        ids: list[int] = self._tokenizer(text, **cut)["input_ids"]
        if len(ids) > LONGEST:
            raise ValueError(f"its tokenizer makes {len(ids)} tokens of {len(text)} characters")
        return ids


def _changed(configs: tuple[str, str], keys: list[str]) -> list[str]:
    """The keys by which transformers reads two configs differently.

    A key that is read into another (`rope_theta` into `rope_parameters`) is in neither reading: it
    changes something where a setting differs that no other of the keys accounts for.
    """
    before, after = map(_read, configs)
    absent = object()
    differing = {
        key
        for key in before.keys() | after.keys()
        if before.get(key, absent) != after.get(key, absent)
    }
    elsewhere = differing - set(keys) - _STAMPS
    return [
        key
        for key in keys
        if key in differing or (elsewhere and key not in before and key not in after)
    ]


def _read(text: str) -> dict[str, Any]:
    plain = json.loads(text)
    kind = str(plain.pop("model_type", ""))
    settings: dict[str, Any] = AutoConfig.for_model(kind, **plain).to_dict()
    return settings
