"""Registry figure 9: generated requests get no 5xx and no answer that the API's schema forbids.

`python -m benchmarks.registry.conformance [--cases 10000] [--seconds 3600] [--seed 1] [--st st]`

Schemathesis reads `/openapi.json` of a real server, `skillpm registry serve`, and sends requests
that are valid, nearly valid and invalid. Passes take turns: as an administrator with names that
exist, as an administrator with any names, and without a token. A new one begins until `--cases`
requests are sent, or `--seconds` are over. Needs the extra `api-fuzz`, or `--st` with the command
`st` of another environment: Schemathesis is a plugin of pytest too, which the tests do not need.

The exit code is 1 if an answer is a 5xx, or has a status, a type, a header or a body that the
schema does not describe.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tools.table import Table, add_output, publish

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "service")]

from live_server import Server, configured, initialized, running  # noqa: E402
from small_packs import small_pack  # noqa: E402

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)
PASSES = ("known names", "any names", "no token")
OPERATIONS = 39
_LEAST = 2
"""Requests for each operation in a pass."""


@dataclass(frozen=True)
class Course:
    """A server with something in it, and what the passes need."""

    command: str
    server: Server
    token: str
    names: dict[str, str]
    folder: Path

    def run(self, name: str, most: int, seed: int) -> dict[str, int]:
        """Run a pass with at most `most` requests for each operation. Returns its counts."""
        settings, report = self.folder / "schemathesis.toml", self.folder / "report.json"
        lines = [f'"path.{key}" = "{value}"' for key, value in self.names.items()]
        settings.write_text("\n".join(["[parameters]", *lines] if name == PASSES[0] else []))
        command = [
            self.command, "--config-file", str(settings), "run", f"{self.server.url}/openapi.json",
            "--url", self.server.url, "--checks", CHECKS, "--max-examples", str(most),
            "--seed", str(seed), "--no-shrink",
            "--continue-on-failure", "--phases", "examples,coverage,fuzzing", "--warnings", "off",
            "--generation-database", "none", "--report", "json", "--report-json-path", str(report),
        ]  # fmt: skip
        if name != PASSES[2]:
            command += ["--header", f"Authorization: Bearer {self.token}"]
        report.unlink(missing_ok=True)
        ended = subprocess.run(
            command, check=False, cwd=self.folder, capture_output=True, text=True
        )
        if not report.exists():
            sys.exit(f"{self.command} failed:\n{ended.stdout}\n{ended.stderr}")
        document = json.loads(report.read_text())
        counts: dict[str, int] = document["test_cases"]
        if document["failures"] or document["errors"]:
            sys.stderr.write(ended.stdout)
        return counts


def fill(server: Server, token: str) -> dict[str, str]:
    """Publish and create what requests can name. Returns the values of parameters in paths."""
    api, pack = server.client(token), small_pack()
    api.namespace("acme")
    api.publish(pack)
    asked = {"digest": str(pack.digest), "size": 10, "namespace": "acme"}
    upload = api.ask("POST", "/v1/uploads", 201, json={**asked, "digest": f"sha256:{'0' * 64}"})
    other = api.ask("POST", "/v1/tokens", 201, json={"actions": ["read"], "patterns": ["*"]})
    return {
        "namespace": "acme", "name": "math", "version": "1.0.0", "digest": pack.layer.hex,
        "prefix": pack.layer.hex[:2], "upload": upload["id"], "token": other["id"],
        "principal": "admin",
    }  # fmt: skip


def send(asked: argparse.Namespace, folder: Path) -> dict[str, tuple[int, int]]:
    """Run passes until all cases are sent. Returns requests and failures by pass."""
    each = asked.each or max(_LEAST, math.ceil(asked.cases / OPERATIONS / len(PASSES)))
    done = dict.fromkeys(PASSES, (0, 0))
    arguments = configured(folder / "registry")
    token = initialized(arguments)
    with running(folder / "server", *arguments) as server:
        course = Course(asked.st, server, token, fill(server, token), folder)
        end, number = time.monotonic() + asked.seconds, 0
        while sum(count for count, _ in done.values()) < asked.cases and time.monotonic() < end:
            name = PASSES[number % len(PASSES)]
            counts = course.run(name, each, asked.seed + number)
            bad = counts["with_failures"] + counts["errored"]
            done[name] = done[name][0] + counts["generated"], done[name][1] + bad
            number += 1
    return done


def main() -> None:
    """Send the requests, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--each", type=int, help="requests for each operation in a pass")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--st", default=shutil.which("st") or "st")
    add_output(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
        done = send(asked, Path(name))
    every = sum(count for count, _ in done.values())
    table = Table(f"Generated requests: {every:,} of {asked.cases:,}",
                  ("pass", "requests", "refused by a check"))  # fmt: skip
    for title, (count, bad) in done.items():
        table.row(title, f"{count:,}", bad)
    publish(table, asked.append)
    sys.exit(1 if any(bad for _, bad in done.values()) else 0)


if __name__ == "__main__":
    main()
