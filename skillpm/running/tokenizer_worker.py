"""The sandbox worker for untrusted tokenizers, and for comparing untrusted configs.

Requests: `{"load": null}`, `{"text": TEXT, "most": COUNT or null}`,
`{"chat": [{"role", "content"}]}`, `{"decode": [ID]}`,
`{"compare": [OLD, NEW], "keys": [KEY], "ignored": [KEY]}` and
`{"reduce": [OLD, NEW, PATCH], "fixed": [[KEY]]}`.
"""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from skillpm.running.chat import chat_ids, text_of
from skillpm.running.config_meaning import changed_keys, needed_patch
from skillpm.sandbox.worker import Handler
from skillpm.spec.words import counted

LONGEST = 1 << 18
"""The largest number of tokens of a text."""
_FACTS = ("pad_token_id", "eos_token_id", "sep_token_id", "model_max_length")


def worker() -> Handler:
    """A handler with one tokenizer, that of the session's folder."""
    return _TokenizerHandler().answer


class _TokenizerHandler:
    def __init__(self) -> None:
        self._tokenizer: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request. Raises the errors of the tokenizer or the config class."""
        if "load" in request:
            self._tokenizer = AutoTokenizer.from_pretrained(Path.cwd(), trust_remote_code=False)
            return {name: getattr(self._tokenizer, name, None) for name in _FACTS}
        if "compare" in request:
            keys, ignored = request["keys"], request["ignored"]
            return {"changed": changed_keys(request["compare"], keys, ignored)}
        if "reduce" in request:
            before, after, patch = map(json.loads, request["reduce"])
            fixed = [tuple(path) for path in request["fixed"]]
            return {"patches": needed_patch(before, after, patch, fixed)}
        if "chat" in request:
            return {"ids": _moderate(chat_ids(self._tokenizer, request["chat"]), "its chat")}
        if "decode" in request:
            return {"text": text_of(self._tokenizer, request["decode"])}
        return {"ids": self._ids(request["text"], request["most"])}

    def _ids(self, text: str, most: int | None) -> list[int]:
        options = {"truncation": most is not None, "max_length": most}
        ids: list[int] = self._tokenizer(text, **options)["input_ids"]
        return _moderate(ids, counted(len(text), "character"))


def _moderate(ids: list[int], what: str) -> list[int]:
    if len(ids) > LONGEST:
        raise ValueError(f"its tokenizer makes {len(ids)} tokens of {what}")
    return ids
