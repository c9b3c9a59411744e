"""A signal that arrives while Python begins to wait for a line is handled, not left pending."""

import os
import pty
import random
import select
import signal
import sys
import threading
import time
from pathlib import Path

from skillpm_world import PACKAGES, Process
from thoroughness import is_thorough

from skillpm.cli.nudges import nudged

ROUNDS = 4000 if is_thorough() else 300
SCRIPT = """
import readline, signal
from skillpm.cli.nudges import nudged
caught = 0
def interrupt(number, frame):
    global caught
    caught += 1
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, interrupt)
with nudged():
    shown = -1
    while True:
        try:
            while shown < caught:
                shown += 1
                print(f"<{shown}>", flush=True)
            input(">>> ")
        except KeyboardInterrupt:
            pass
"""


def test_signal_at_the_start_of_a_wait_is_handled() -> None:
    chance = random.Random(1)
    screen, terminal = pty.openpty()
    command = [sys.executable, "-c", SCRIPT]
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    with Process(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    ) as process:
        os.close(terminal)
        seen = bytearray()
        for number in range(ROUNDS):
            end = time.monotonic() + 30
            while b"<%d>" % number not in seen:
                assert time.monotonic() < end, (number, bytes(seen[-200:]))
                if select.select([screen], [], [], 1)[0]:
                    seen.extend(os.read(screen, 1 << 16))
            ready = time.perf_counter() + chance.uniform(0, 3e-4)
            while time.perf_counter() < ready:
                pass
            process.send_signal(signal.SIGTERM)
        process.kill()
    os.close(screen)


def test_nudges_leave_signals_as_they_were(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGURG)
    with (tmp_path / "x").open("w") as file:
        os.set_blocking(file.fileno(), False)
        before = signal.set_wakeup_fd(file.fileno(), warn_on_full_buffer=False)
        try:
            with nudged():
                assert signal.getsignal(signal.SIGURG) != handler
            assert signal.set_wakeup_fd(before) == file.fileno()
        finally:
            signal.set_wakeup_fd(before)
    assert signal.getsignal(signal.SIGURG) == handler
    assert not [each for each in threading.enumerate() if each.name.startswith("skillpm-nudge")]
