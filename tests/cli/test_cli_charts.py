"""`inspect` on a terminal: bars of bytes and errors."""

import io
import os
from pathlib import Path

import pytest
from skillpm_world import World
from tiny_models import Models, Pair

from skillpm.archive.reader import open_pack
from skillpm.cli import inspecting


@pytest.fixture
def pair(models: Models) -> Pair:
    return models.pair("fp32")


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _on_terminal(world: World, path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> str:
    screen = Terminal()
    size = os.terminal_size((columns, 24))
    monkeypatch.setattr(inspecting, "get_terminal_size", lambda: size)
    monkeypatch.setattr("sys.stdout", screen)
    from skillpm.cli.app import app
    from skillpm.cli.state import State

    app.main(["--no-color", "inspect", str(path)], standalone_mode=False, obj=State())
    return screen.getvalue()


def test_terminal_shows_bars_of_bytes_and_errors(
    world: World, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.pack(pair, "acme/math", "1.0.0", "--scheme", "graftllm")
    screen = _on_terminal(world, path, monkeypatch, 100)
    rows = {line.split()[0]: line for line in screen.splitlines() if "█" in line}
    modules = open_pack(path).manifest.compression.modules
    largest = max(modules, key=lambda kind: modules[kind].bytes)
    assert max(rows, key=lambda kind: rows[kind].count("█")) in modules
    assert "█" * 10 in rows[largest]
    assert rows[largest].rstrip().endswith(f"{modules[largest].relative_error:.4f}")
    assert max(map(len, rows.values())) <= 100
    assert "\x1b" not in screen


def test_lossless_pack_has_no_error_bars_and_a_narrow_terminal_has_none(
    world: World, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.pack(pair, "acme/math", "1.0.0")
    assert "relative error" not in _on_terminal(world, path, monkeypatch, 100)
    narrow = _on_terminal(world, path, monkeypatch, 60)
    assert "█" not in narrow
    assert "relative error" in narrow
