"""Untrusted tokenizers and configs, which transformers reads in a sandbox (ADR 22).

A tokenizer's rules are data of a pack. Its regular expressions can run for hours, and malformed
rules can make the tokenizer library abort. No check of the files can rule that out, so the sandbox
limits time and memory instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skillpm.architecture.layout import ModelLayout, read_layout
from skillpm.checkpoint.model import open_checkpoint
from skillpm.errors import SpecError
from skillpm.sandbox.errors import FailureKind, ForeignWorkError
from skillpm.sandbox.policy import SandboxLimits, SandboxPolicy
from skillpm.sandbox.process import Sandbox
from skillpm.sandbox.session import SandboxSession
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.sidefiles import READ_SUFFIXES, suffix_of

SECONDS = 60.0
"""The total time of all requests to one tokenizer, in seconds."""
_CONFIG_SECONDS = 120
"""Processor seconds for building a model on the `meta` device."""
_CONFIG_TIMEOUT = 5 * _CONFIG_SECONDS
"""Seconds for the same on a busy machine."""
_LARGEST = 128 << 20
"""The largest size of one file that a tokenizer reads, in bytes."""
_LONGEST = 1 << 18
"""The largest number of tokens in an answer."""
_INTEGER = 1 << 62
_TOKENIZERS = SandboxPolicy("skillpm.running.tokenizer_worker", hidden=("torch",))
"""Without torch, transformers starts more than twice as fast."""
_CONFIGS = SandboxPolicy(
    "skillpm.running.config_worker", SandboxLimits(processor_seconds=_CONFIG_SECONDS)
)

_LAYOUTS = SandboxPolicy(
    "skillpm.running.layout_worker", SandboxLimits(processor_seconds=_CONFIG_SECONDS)
)


@dataclass
class UntrustedModelFiles:
    """The sandboxes for untrusted files of models. Each is started at its first use."""

    seconds: float = SECONDS
    _sandbox: Sandbox = field(default_factory=lambda: Sandbox(_TOKENIZERS), repr=False)
    _configs: Sandbox = field(default_factory=lambda: Sandbox(_CONFIGS), repr=False)
    _layouts: Sandbox = field(default_factory=lambda: Sandbox(_LAYOUTS), repr=False)

    def tokenizer(self, folder: Path) -> "SandboxedTokenizer":
        """Load the tokenizer of a folder. The folder may be removed afterwards.

        Loading a tokenizer ends the one loaded before. Raises `ForeignWorkError` (a `ValueError`)
        if the folder has no tokenizer that can be loaded.
        """
        session = self._open(folder)
        answer = _ask(session, {"load": None}, "tokenizer")
        names = ("pad_token_id", "eos_token_id", "sep_token_id", "model_max_length")
        return SandboxedTokenizer(session, **{name: _integer(answer.get(name)) for name in names})

    def check_config(self, folder: Path) -> None:
        """Raise `ForeignWorkError` unless the config of a model folder describes its tensors.

        Builds the model on the `meta` device in the sandbox. If that succeeds, transformers may
        read the config in this process too, because it takes the same time and memory.
        """
        specs = open_checkpoint(folder).specs
        request = {"specs": {name: [spec.dtype, spec.shape] for name, spec in specs.items()}}
        session = self._configs.open(small_files(folder), _CONFIG_TIMEOUT)
        _ask(session, request, "config")
        self._configs.end_session()

    def layout(
        self, config: bytes, specs: Mapping[str, TensorSpec], asked: Mapping[str, Any]
    ) -> ModelLayout:
        """The layout of a model with this config, for the tensors that `asked` names.

        Raises `ForeignWorkError` if the config does not describe a model with these tensors.
        """
        answer = self._ask_layout(config, specs, {"layout": dict(asked)})
        try:
            return read_layout(answer)
        except SpecError as problem:
            raise _malformed("config") from problem

    def peft_targets(
        self, config: bytes, specs: Mapping[str, TensorSpec], tensors: list[str]
    ) -> dict[str, Any]:
        """The tensors that PEFT can adapt (`modules`: {tensor: [module, kind]}) and the others.

        `refused` maps each tensor that PEFT cannot adapt to the reason.
        """
        return self._ask_layout(config, specs, {"targets": tensors})

    def load_adapter(
        self, config: bytes, specs: Mapping[str, TensorSpec], adapter: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Load an adapter's tensor names by PEFT's rules, without values.

        `adapter` has the adapter's `config` and its `tensors` {name: [dtype, shape]}. The result
        lists the names that the model does not have (`unexpected`) and the `missing` ones.
        """
        return self._ask_layout(config, specs, {"load": dict(adapter)})

    def _ask_layout(
        self, config: bytes, specs: Mapping[str, TensorSpec], request: Mapping[str, Any]
    ) -> dict[str, Any]:
        session = self._layouts.open({"config.json": config}, _CONFIG_TIMEOUT)
        tensors = {name: [spec.dtype, spec.shape] for name, spec in specs.items()}
        answer = _ask(session, {**request, "specs": tensors}, "config")
        self._layouts.end_session()
        return answer

    def changed_settings(
        self, old: bytes, new: bytes, keys: Iterable[str], *, ignored: Iterable[str] = ()
    ) -> frozenset[str]:
        """The subset of `keys` whose change from one config to another affects the model.

        The settings `ignored` are not compared. Raises `ForeignWorkError` if transformers cannot
        read one of the configs.
        """
        session = self._sandbox.open({}, self.seconds)
        asked = sorted(keys)
        texts = [old.decode(), new.decode()]
        request = {"compare": texts, "keys": asked, "ignored": sorted(ignored)}
        changed = _ask(session, request, "config").get("changed")
        if not isinstance(changed, list):
            raise _malformed("config")
        return frozenset(asked).intersection(key for key in changed if isinstance(key, str))

    def needed_patches(
        self, old: bytes, new: bytes, patch: bytes, fixed: Iterable[Sequence[str]]
    ) -> list[dict[str, Any]]:
        """Small merge patches of the old config that give the settings of the new, best first.

        `patch` is the difference of the two files; the paths `fixed` are kept in every result.
        Raises `ForeignWorkError` if transformers cannot read a config.
        """
        session = self._sandbox.open({}, self.seconds)
        texts = [old.decode(), new.decode(), patch.decode()]
        request = {"reduce": texts, "fixed": [list(path) for path in fixed]}
        patches = _ask(session, request, "config").get("patches")
        if not isinstance(patches, list) or not all(isinstance(p, dict) for p in patches):
            raise _malformed("config")
        return patches

    def _open(self, folder: Path) -> SandboxSession:
        return self._sandbox.open(small_files(folder), self.seconds)


@dataclass
class SandboxedTokenizer:
    """A tokenizer that runs in the sandbox, with the interface that `Runner` uses."""

    session: SandboxSession = field(repr=False)
    pad_token_id: int | None = None
    eos_token_id: int | None = None
    sep_token_id: int | None = None
    model_max_length: int | None = None

    def __call__(
        self, text: str, *, truncation: bool, max_length: int | None = None
    ) -> dict[str, list[int]]:
        """The token IDs of a text, as the tokenizers of transformers return them.

        Raises `ForeignWorkError`, also if all texts together took more than `seconds`.
        """
        return {"input_ids": self._ids({"text": text, "most": max_length if truncation else None})}

    def chat_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The token IDs of a chat, as `running.chat.chat_ids`; the sandbox renders the template."""
        return self._ids({"chat": [dict(message) for message in messages]})

    def allow(self, seconds: float) -> None:
        """Give the requests that follow this time in all."""
        self.session.left = seconds

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special tokens."""
        text = _ask(self.session, {"decode": list(ids)}, "tokenizer").get("text")
        if not isinstance(text, str):
            raise _malformed("tokenizer")
        return text

    def _ids(self, request: Mapping[str, Any]) -> list[int]:
        ids = _ask(self.session, request, "tokenizer").get("ids")
        if not isinstance(ids, list) or len(ids) > _LONGEST or not all(map(_is_id, ids)):
            raise _malformed("tokenizer")
        return ids


def small_files(folder: Path) -> dict[str, bytes]:
    """The files of a model folder with its config and tokenizer, by name; no weights.

    Raises `ForeignWorkError` for a file larger than 128 MiB.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        if suffix_of(path.name) not in READ_SUFFIXES or path.name.endswith(".index.json"):
            continue
        if path.is_file():
            with path.open("rb") as file:
                files[path.name] = file.read(_LARGEST + 1)
            if len(files[path.name]) > _LARGEST:
                raise ForeignWorkError(
                    FailureKind.OUTPUT, f"its `{path.name}` has more than {_LARGEST} bytes"
                )
    return files


def _ask(session: SandboxSession, request: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Send a request; if the sandbox stops the worker, the error names `what` was read."""
    try:
        return session.ask(dict(request))
    except ForeignWorkError as problem:
        if problem.kind is FailureKind.REFUSED:
            raise
        raise ForeignWorkError(problem.kind, f"its {what} was stopped: {problem}") from problem


def _malformed(what: str) -> ForeignWorkError:
    return ForeignWorkError(FailureKind.OUTPUT, f"the sandbox's answer on its {what} is malformed")


def _integer(value: Any) -> int | None:
    """An untrusted value if it is an integer of moderate size, else None."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < _INTEGER else None


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31
