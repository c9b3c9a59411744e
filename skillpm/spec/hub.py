"""The name of a model on the Hugging Face hub, `org/model@revision`."""

import re
from dataclasses import dataclass

from skillpm.errors import SpecError

PREFIX = "hf:"
"""Marks a name in a file or on the command line, where other text may be a path."""
SHORT = 7
"""Characters of a commit that messages show."""
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_PART}/)?{_PART}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*", re.ASCII)
_REVISION_LIMIT = 250
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_CACHED = "models--"


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the hub, and a revision: a branch, a tag or a commit; None is the branch `main`.

    Source of the grammar: `huggingface_hub.utils.validate_repo_id`, and the names of git.
    """

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "HubModel":
        """Read `org/model[@revision]`, with or without the prefix `hf:`. Raises `SpecError`.

        A name without an organisation, such as `gpt2`, needs the prefix.
        """
        name, at, revision = text.removeprefix(PREFIX).partition("@")
        is_valid = is_name(name) and ("/" in name or text.startswith(PREFIX))
        if not is_valid or (at and not _is_revision(revision)):
            raise SpecError(
                f"`{text}` is not the name of a Hugging Face model; expected `org/model` or "
                "`org/model@revision`"
            )
        return cls(name, revision or None)

    @classmethod
    def of_cache_folder(cls, folder: str) -> "HubModel | None":
        """The model of a folder `models--org--model` of the hub's cache; None for another name."""
        name = folder.removeprefix(_CACHED).replace("--", "/")
        return cls(name) if folder.startswith(_CACHED) and is_name(name) else None

    @property
    def cache_folder(self) -> str:
        """The name of the model's folder in the hub's cache."""
        return _CACHED + self.name.replace("/", "--")

    @property
    def commit(self) -> str | None:
        """The revision, if it is a whole commit."""
        revision = self.revision
        return revision if revision and _COMMIT.fullmatch(revision) else None

    def at(self, revision: str) -> "HubModel":
        """The same model at another revision."""
        return HubModel(self.name, revision)

    @property
    def reference(self) -> str:
        """The text for files: `hf:org/model@revision`. `parse` reads it."""
        return PREFIX + (f"{self.name}@{self.revision}" if self.revision else self.name)

    @property
    def label(self) -> str:
        """The text for messages and commands: `org/model@revision`, where a commit is short."""
        shown = self.commit[:SHORT] if self.commit else self.revision
        prefix = "" if "/" in self.name else PREFIX
        return prefix + (f"{self.name}@{shown}" if shown else self.name)

    @property
    def download(self) -> str:
        """The command that downloads this revision into the cache."""
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {self.name}{revision}"


def is_name(text: str) -> bool:
    """Whether a text is the name of a model on the hub, `org/model` or `model`."""
    return (
        _NAME.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
        and not text.endswith(".git")
    )


def is_commit(text: str) -> bool:
    """Whether a text is a whole commit."""
    return _COMMIT.fullmatch(text) is not None


def _is_revision(text: str) -> bool:
    known = _REVISION.fullmatch(text) is not None
    return known and ".." not in text and len(text) <= _REVISION_LIMIT
