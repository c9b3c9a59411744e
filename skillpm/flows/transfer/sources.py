"""The sources of a transfer: who they are, and how they are opened."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from skillpm.checkpoint.find_model import find_model, named_model
from skillpm.errors import NotFoundError, SpecError, UsageError
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.transfer_sources import describe_source
from skillpm.transfer.config import LOCAL_HOSTS, SourceTable
from skillpm.transfer.inputs import TransferInputs
from skillpm.transfer.sampling import AnswerSource
from skillpm.transfer.sources.endpoint import Endpoint
from skillpm.transfer.sources.folder import FolderSource
from skillpm.transfer.sources.recorded import RecordedSource
from skillpm.transfer.sources.served import ServedSource

if TYPE_CHECKING:
    from skillpm.flows.transfer.plan import TransferRequest

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")


@dataclass(frozen=True)
class SourceFacts:
    """A source: its table, and its identity as provenance records it.

    `root` is the root of a model folder. `open` loads the source, which answers `batch` requests
    at once, and `close` its connections. `texts` has the answers of a file by the id of the prompt.
    """

    table: SourceTable
    identity: str
    root: Digest | None
    open: Callable[[], AnswerSource]
    batch: int = 1
    close: Callable[[], None] = lambda: None
    texts: Mapping[str, Sequence[str]] | None = None

    @property
    def name(self) -> str:
        """The name of the source in the file."""
        return self.table.name

    @property
    def determinants(self) -> list[str]:
        """What decides the answers: two endpoints of a host may serve models of the same name."""
        return [part for part in (self.name, self.identity, self.table.endpoint) if part]

    @property
    def kind(self) -> str:
        """`model`, `endpoint` or `answers`."""
        return self.identity.partition(" ")[0]

    def can_answer(self, prompt: str) -> bool:
        """Whether the source has an answer to a prompt: a model has one to all of them."""
        return self.texts is None or bool(self.texts.get(prompt))

    @property
    def remote_host(self) -> str | None:
        """The host to which prompts are sent; None for a source on this machine."""
        host = urlsplit(self.table.endpoint or "").hostname
        return None if host in LOCAL_HOSTS else host

    @property
    def provenance(self) -> str:
        """The identity with the terms, as the manifest states it."""
        return describe_source(self.identity, self.table.terms)


def open_sources(
    session: Session, request: "TransferRequest", inputs: TransferInputs
) -> tuple[SourceFacts, ...]:
    """Identify all sources. Model folders are hashed, and loaded only when `open` is called.

    Raises `SpecError` for a folder without safetensors, `UsageError` for a key that the user does
    not allow.
    """
    return tuple(_facts(session, request, inputs, table) for table in request.document.source)


def _facts(
    session: Session, request: "TransferRequest", inputs: TransferInputs, table: SourceTable
) -> SourceFacts:
    if table.model is not None:
        return _folder(session, request, table, named_model(table.model, request.folder))
    if table.endpoint is not None:
        key = _allowed_key(table, request)
        endpoint = Endpoint(table.endpoint, table.served or "", key)
        host = urlsplit(table.endpoint).netloc
        identity = f"endpoint {host}/{table.served}"
        source = ServedSource(endpoint)
        return SourceFacts(table, identity, None, lambda: source, close=endpoint.close)
    path = table.answers or ""
    texts = inputs.answers[table.name]
    identity = f"answers {inputs.digests[path]}"
    return SourceFacts(table, identity, None, lambda: RecordedSource(texts), texts=texts)


def _folder(
    session: Session, request: "TransferRequest", table: SourceTable, path: Path
) -> SourceFacts:
    folder = find_model(path, session.say)
    _refuse_pickles(table.name, folder)
    model = session.hash_model(open_model(folder), f"hashing {table.name}")

    root, batch = model.identity.root, request.document.sample.batch
    load = partial(FolderSource.load, folder, request.device)
    return SourceFacts(table, f"model {root}", root, load, batch)


def _refuse_pickles(name: str, folder: Path) -> None:
    """Raise `SpecError` for a model folder whose only weights are pickles."""
    try:
        files = sorted(path.name for path in folder.iterdir())
    except OSError:
        raise NotFoundError(f"there is no model folder at `{folder}`") from None
    pickles = [file for file in files if file.lower().endswith(_PICKLES)]
    if pickles and not any(file.endswith(".safetensors") for file in files):
        raise SpecError(
            f"the source `{name}` has no safetensors, only `{pickles[0]}`, which could run any "
            "program when it is loaded",
            hint="convert it where you trust it: "
            "`model.save_pretrained(DIR, safe_serialization=True)`",
        )


def _allowed_key(table: SourceTable, request: "TransferRequest") -> str | None:
    """The key in the variable `key_env`, if the user allows that this origin gets it."""
    if table.key_env is None:
        return None
    if (table.key_env, table.origin) not in request.allowed_keys:
        raise UsageError(
            f"the source `{table.name}` asks for the key in `{table.key_env}`, which would be sent "
            f"to {table.origin}",
            hint=f"to allow it: `--allow-key {table.key_env}@{table.origin}`",
        )
    key = os.environ.get(table.key_env, "")
    if not key.isascii() or not key.isprintable() or not key.strip():
        raise UsageError(
            f"the variable `{table.key_env}` of the source `{table.name}` has no key",
            hint=f"export {table.key_env}=…",
        )
    return key.strip()
