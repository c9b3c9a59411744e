"""The demo when it fails or is interrupted."""

import pytest

from examples import demo


def test_interrupted_demo_ends_with_a_message_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_console: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_demo", interrupt)
    assert demo.main() == 130
    assert "`make demo` goes on with the models that are finished" in capsys.readouterr().out
