"""Checks the configs of sentence-transformers modules, which name classes and methods to call."""

import re
from typing import Any

from skillpm.errors import SpecError
from skillpm.spec.loading_keys import is_class_name, nested_keys, refuse_key

_FEATURES = frozenset({"module_input_name", "module_output_name", "method_output_name"})
"""Keys with the names of values that modules pass to each other."""
_IMPORTED = frozenset({"activation_function", "tokenizer_class"})
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)
_LIBRARY_CLASS = re.compile(
    r"torch\.nn\.(?:modules\.[a-z_]+\.)?[A-Z]\w{0,63}"
    r"|sentence_transformers(?:\.[A-Za-z]\w*){0,8}\.[A-Z]\w{0,63}",
    re.ASCII,
)
_METHOD = re.compile(r"forward|get_[a-z_]+_features", re.ASCII)
"""Methods of a model that only compute features."""
_SHOWN = 80


def check_module_config(content: Any, what: str) -> None:
    """Raise `SpecError` if a module's config chooses code, kernels, quantisation or files.

    Only classes of torch.nn and of sentence-transformers are allowed.
    """
    if not isinstance(content, dict):
        raise SpecError(f"{what} is not a JSON object")
    for path, key, value in nested_keys(content, ""):
        text = isinstance(value, str)
        if key in _FEATURES and (is_class_name(value, "") or isinstance(value, list)):
            continue
        if key == "method" and text and _METHOD.fullmatch(value) is None:
            raise SpecError(f"{what} calls the method {value[:_SHOWN]!r}, which is not allowed")
        if key in _IMPORTED or (text and _IMPORT_PATH.fullmatch(value)):
            _check_class(path, value, what)
        else:
            refuse_key(path, key, value, what)


def _check_class(path: str, value: Any, what: str) -> None:
    named = isinstance(value, str) and _LIBRARY_CLASS.fullmatch(value) is not None
    if value is not None and not named:
        raise SpecError(
            f"{what} names {str(value)[:_SHOWN]!r} in `{path}`; only classes of torch.nn and of "
            "sentence-transformers are allowed, because a pack must not load code"
        )


def check_embedding_settings(content: Any, what: str) -> None:
    """Raise `SpecError` if `config_sentence_transformers.json` sets more than prompts and names.

    Prompts may have any name and any text.
    """
    if not isinstance(content, dict):
        raise SpecError(f"{what} is not a JSON object")
    for key, value in content.items():
        if key in ("prompts", "__version__"):
            texts = value.values() if isinstance(value, dict) else [value]
            if not all(text is None or isinstance(text, str) for text in texts):
                raise SpecError(f"{what}: `{key}` does not map text to text")
        elif key == "model_type":
            if not is_class_name(value, ""):
                raise SpecError(f"{what}: `{key}` is not a class name")
        elif key != "default_prompt_name" or not (value is None or isinstance(value, str)):
            check_module_config({key: value}, what)
