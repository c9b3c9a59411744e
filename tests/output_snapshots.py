"""Snapshots of the command line's output: text files, which `--update-snapshots` writes again."""

from dataclasses import dataclass
from pathlib import Path

SNAPSHOTS = Path(__file__).parent / "cli" / "snapshots"


@dataclass(frozen=True)
class Snapshots:
    """Compares text with files, or with `update` writes the files first."""

    update: bool

    def check(self, name: str, text: str) -> None:
        """Compare the text with the snapshot `name`, a path without `.txt`."""
        path = SNAPSHOTS / f"{name}.txt"
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no snapshot `{path}`: run pytest with --update-snapshots"
        assert text == path.read_text(encoding="utf-8")
