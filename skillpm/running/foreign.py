"""Tokenizers and configs of strangers, which transformers reads in a sandbox (ADR 22).

What a tokenizer replaces, splits and adds is data of a pack; regular expressions in it can take for
ever, and its library can be made to abort. No check of such files is sound, so none is made here.
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
"""What one tokenizer may take in all, after its process has started."""
_CONFIG_SECONDS = 120
"""Of a processor, to build a model of a config without its values."""
_PATIENCE = 5 * _CONFIG_SECONDS
"""Seconds in which a busy machine gives as many of a processor."""
_LARGEST = 128 << 20
"""Bytes of one file that a tokenizer reads."""
_LONGEST = 1 << 18
_INTEGER = 1 << 62
_TOKENIZERS = SandboxPolicy("skillpm.running.tokenizer_worker", hidden=("torch",))
"""Without torch, transformers starts in less than half the time."""
_CONFIGS = SandboxPolicy(
    "skillpm.running.config_worker", SandboxLimits(processor_seconds=_CONFIG_SECONDS)
)

_LAYOUTS = SandboxPolicy(
    "skillpm.running.layout_worker", SandboxLimits(processor_seconds=_CONFIG_SECONDS)
)


@dataclass
class ForeignModelFiles:
    """The sandboxes for the small files of models; each is started when it is first needed."""

    seconds: float = SECONDS
    _sandbox: Sandbox = field(default_factory=lambda: Sandbox(_TOKENIZERS), repr=False)
    _configs: Sandbox = field(default_factory=lambda: Sandbox(_CONFIGS), repr=False)
    _layouts: Sandbox = field(default_factory=lambda: Sandbox(_LAYOUTS), repr=False)

    def tokenizer(self, folder: Path) -> "ForeignTokenizer":
        """The tokenizer in a folder, which may be removed then; ends the one before it.

        Raises `ForeignWorkError` (a `ValueError`) where there is none that can be loaded.
        """
        session = self._open(folder)
        answer = _asked(session, {"load": None}, "tokenizer")
        names = ("pad_token_id", "eos_token_id", "sep_token_id", "model_max_length")
        return ForeignTokenizer(session, **{name: _integer(answer.get(name)) for name in names})

    def check_config(self, folder: Path) -> None:
        """Raise `ForeignWorkError` unless the config of a model's folder describes its tensors.

        The model is built of it on the `meta` device, in the sandbox. Afterwards transformers may
        read the config in this process: it takes the time and memory that it took there.
        """
        specs = open_checkpoint(folder).specs
        request = {"specs": {name: [spec.dtype, spec.shape] for name, spec in specs.items()}}
        session = self._configs.open(small_files(folder), _PATIENCE)
        _asked(session, request, "config")
        self._configs.end_session()

    def layout(
        self, config: bytes, specs: Mapping[str, TensorSpec], asked: Mapping[str, Any]
    ) -> ModelLayout:
        """How a model of this config is laid out, as far as `asked` names its tensors.

        Raises `ForeignWorkError` where the config describes no model of these tensors.
        """
        answer = self._ask_layout(config, specs, {"layout": dict(asked)})
        try:
            return read_layout(answer)
        except SpecError as problem:
            raise _no_answer("config") from problem

    def peft_targets(
        self, config: bytes, specs: Mapping[str, TensorSpec], tensors: list[str]
    ) -> dict[str, Any]:
        """Which of these tensors PEFT adapts: `modules` [module, kind], and why not: `refused`."""
        return self._ask_layout(config, specs, {"targets": tensors})

    def load_adapter(
        self, config: bytes, specs: Mapping[str, TensorSpec], adapter: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Load an adapter's names by PEFT's rules: those without a place, those `missing`.

        `adapter` is its `config` and its `tensors` {name: [dtype, shape]}.
        """
        return self._ask_layout(config, specs, {"load": dict(adapter)})

    def _ask_layout(
        self, config: bytes, specs: Mapping[str, TensorSpec], request: Mapping[str, Any]
    ) -> dict[str, Any]:
        session = self._layouts.open({"config.json": config}, _PATIENCE)
        known = {name: [spec.dtype, spec.shape] for name, spec in specs.items()}
        answer = _asked(session, {**request, "specs": known}, "config")
        self._layouts.end_session()
        return answer

    def changed_settings(
        self, old: bytes, new: bytes, keys: Iterable[str], *, ignored: Iterable[str] = ()
    ) -> frozenset[str]:
        """Of these keys, those by which transformers reads two configs differently.

        What it reads under the names `ignored` is not compared. Raises `ForeignWorkError` where
        one of the two cannot be read.
        """
        session = self._sandbox.open({}, self.seconds)
        known = sorted(keys)
        texts = [old.decode(), new.decode()]
        request = {"compare": texts, "keys": known, "ignored": sorted(ignored)}
        changed = _asked(session, request, "config").get("changed")
        if not isinstance(changed, list):
            raise _no_answer("config")
        return frozenset(known).intersection(key for key in changed if isinstance(key, str))

    def needed_patches(
        self, old: bytes, new: bytes, patch: bytes, fixed: Iterable[Sequence[str]]
    ) -> list[dict[str, Any]]:
        """Merge patches of a config that transformers reads as it reads another, the best first.

        `patch` is what the two files differ in; the paths `fixed` stay in it. Raises
        `ForeignWorkError` where a config cannot be read.
        """
        session = self._sandbox.open({}, self.seconds)
        texts = [old.decode(), new.decode(), patch.decode()]
        request = {"reduce": texts, "fixed": [list(path) for path in fixed]}
        patches = _asked(session, request, "config").get("patches")
        if not isinstance(patches, list) or not all(isinstance(p, dict) for p in patches):
            raise _no_answer("config")
        return patches

    def _open(self, folder: Path) -> SandboxSession:
        return self._sandbox.open(small_files(folder), self.seconds)


@dataclass
class ForeignTokenizer:
    """What a runner needs of a tokenizer, answered by a worker in the sandbox."""

    session: SandboxSession = field(repr=False)
    pad_token_id: int | None = None
    eos_token_id: int | None = None
    sep_token_id: int | None = None
    model_max_length: int | None = None

    def __call__(
        self, text: str, *, truncation: bool, max_length: int | None = None
    ) -> dict[str, list[int]]:
        """A text's ids, as the tokenizers of transformers give them.

        Raises `ForeignWorkError`, also when all texts so far took more time than one tokenizer has.
        """
        request = {"text": text, "most": max_length if truncation else None}
        ids = _asked(self.session, request, "tokenizer").get("ids")
        if not isinstance(ids, list) or len(ids) > _LONGEST or not all(map(_is_id, ids)):
            raise _no_answer("tokenizer")
        return {"input_ids": ids}


def small_files(folder: Path) -> dict[str, bytes]:
    """The files of a model's folder that configs and tokenizers are read from; no weights.

    Raises `ForeignWorkError` for one that is larger than a tokenizer's file may be.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        if suffix_of(path.name) not in READ_SUFFIXES or path.name.endswith(".index.json"):
            continue
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = file.read(_LARGEST + 1)
            if len(found[path.name]) > _LARGEST:
                raise ForeignWorkError(
                    FailureKind.OUTPUT, f"its `{path.name}` has more than {_LARGEST} bytes"
                )
    return found


def _asked(session: SandboxSession, request: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The worker's answer; a failure of the sandbox's says what was read."""
    try:
        return session.ask(dict(request))
    except ForeignWorkError as problem:
        if problem.kind is FailureKind.REFUSED:
            raise
        raise ForeignWorkError(problem.kind, f"its {what} was stopped: {problem}") from problem


def _no_answer(what: str) -> ForeignWorkError:
    return ForeignWorkError(FailureKind.OUTPUT, f"its {what} gave an answer of another form")


def _integer(value: Any) -> int | None:
    """A whole number of a stranger, or None: no boolean, nothing huge."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < _INTEGER else None


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31
