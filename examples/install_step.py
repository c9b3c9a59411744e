"""Run one step of an installation: `python examples/install_step.py TITLE COMMAND...`.

The Makefile runs it with the Python of the user, before anything is installed. It prints the title,
what pip does, and a sign of life after at most five seconds of silence. pip's whole output is
printed if the step fails.
"""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import threading
import time

SILENCE = 5.0
"""The most seconds without a line of output."""
LEAST = (3, 11)
WIDTH = 96
_VERBS = (
    "Collecting", "Downloading", "Processing", "Building", "Preparing", "Obtaining", "Getting",
    "Installing build",
)  # fmt: skip
_SHOWN = re.compile(rf"\s*({'|'.join(_VERBS)})\b.*")
_UNPACKING = "Installing collected packages: "
_END = None


def main() -> int:
    """Run the command; return its exit code, and 1 for a Python that is too old."""
    title, *command = sys.argv[1:]
    if sys.version_info < LEAST:
        found = ".".join(map(str, sys.version_info[:3]))
        say(f"error: skillpm needs Python 3.11 to 3.14; `{sys.executable}` is {found}\n")
        say("hint: name another one, `make demo PYTHON=python3.12`")
        return 1
    say(f"==> {title}")
    started = time.monotonic()
    code, output = _run(command, started)
    if code:
        say("\n".join(output))
        say(f"error: this step failed with exit code {code}: {title}")
    else:
        say(f"    done in {time.monotonic() - started:.0f} s")
    return code


def say(text: str) -> None:
    """Print a text at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(command: list[str], started: float) -> tuple[int, list[str]]:
    """Run a command and print its steps; return the exit code and all lines of its output."""
    lines: queue.Queue[str | None] = queue.Queue()
    output: list[str] = []
    step = "starting"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=SILENCE)
            except queue.Empty:
                say(f"    … {time.monotonic() - started:.0f} s: {step}")
                continue
            if line is _END:
                break
            output.append(line)
            found = describe(line)
            if found is not None:
                step = found
                say(f"    {step}")
    return process.returncode, output


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip())
    lines.put(_END)


def describe(line: str) -> str | None:
    """What a line of pip's output says about the step, shortened; None for other lines."""
    if line.startswith(_UNPACKING):
        count = line.count(",") + 1
        what = f"{count} packages" if count > 1 else line[len(_UNPACKING) :]
        return f"unpacking {what}"
    if _SHOWN.fullmatch(line) is None or "finished with status" in line:
        return None
    text = line.strip().removesuffix(": started").removesuffix(" (pyproject.toml)")
    text = re.sub(r"(file:)?/\S*/", "", text)  # the folder of a file that is on this machine
    text = text[0].lower() + text[1:]
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
