"""Fuzz one target with atheris, guided by coverage of skillpm's code (extra `fuzz`).

    python tests/fuzz/fuzz_atheris.py NAME [libFuzzer's options, as -max_total_time=60]

A finding is printed and stored in the working folder, as libFuzzer does.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["skillpm", "skillpm_registry"]):
    import fuzz_run  # noqa: F401 - sets the path for the other test modules
    from fuzz_target import outcome_of
    from fuzz_targets import all_targets


def main() -> None:
    """Fuzz until libFuzzer's options end the run."""
    name, *options = sys.argv[1:]
    target = next(each for each in all_targets() if each.name == name)
    corpus = Path(tempfile.mkdtemp(prefix="skillpm-atheris-"))
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    arguments = [sys.argv[0], *options, "-rss_limit_mb=2048", "-timeout=10", str(corpus)]
    atheris.Setup(arguments, lambda data: outcome_of(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
