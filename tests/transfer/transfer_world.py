"""A folder with a transfer file, and the tiny models that it names."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from skillpm_world import World
from transfer_models import keep_lines, make_base, make_source, prompt_lines, write_lines

FILE = """\
[target]
base = "{base}"
skill = "acme/count"
version = "1.0.0"
[[source]]
name = "gpt"
{source}
[prompts]
file = "prompts.jsonl"
keep = "keep.jsonl"
[sample]
draws = {draws}
temperature = {temperature}
max_tokens = 8
batch = {batch}
[select]
sft_share = 0.6
[train]
sft = {{ epochs = 12, lr = 4e-3 }}
dpo = {{ epochs = 1, lr = 1e-4, beta = 1 }}
batch = 8
micro = 8
keep_share = {keep_share}
[evaluate]
general = 12
tokens = 8
"""


@dataclass(frozen=True)
class TransferModels:
    """A base that greets, and a source with another tokenizer that writes numbers as digits."""

    folder: Path

    @cached_property
    def base(self) -> Path:
        return make_base(self.folder / "base")

    @cached_property
    def source(self) -> Path:
        return make_source(self.folder / "source")


@dataclass
class TransferWorld:
    """A world with prompts and keep prompts, and the transfer file that names them."""

    world: World
    models: TransferModels

    @property
    def folder(self) -> Path:
        return self.world.project

    @property
    def file(self) -> Path:
        return self.folder / "transfer.toml"

    @property
    def pack(self) -> Path:
        return self.folder / "acme-count-1.0.0.skillpack"

    def write(self, **changes: Any) -> Path:
        """Write the transfer file, the prompts and the keep prompts."""
        source = f'model = "{self.models.source}"'
        settings = {
            "base": self.models.base, "source": source, "draws": 3, "temperature": 1.2,
            "batch": 16, "keep_share": 0.5, **changes,
        }  # fmt: skip
        self.file.write_text(FILE.format(**settings))
        write_lines(self.folder / "prompts.jsonl", prompt_lines())
        write_lines(self.folder / "keep.jsonl", keep_lines())
        return self.file

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def run(self, *more: object) -> dict[str, Any]:
        """Run the transfer; return its report."""
        return self.world.ask("transfer", self.file, *more)

    def fail(self, *more: object, code: int, kind: str) -> str:
        return self.world.fail("transfer", self.file, *more, code=code, kind=kind)

    @property
    def workspace(self) -> Path:
        """The only folder of a transfer in the home."""
        (found,) = (self.world.home / "transfer").iterdir()
        return found
