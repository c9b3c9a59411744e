"""A command parses skillpm.toml and the lock once, and each manifest once."""

import json
import os
import subprocess
import sys

import pytest
from skillpm_world import PACKAGES, World
from tiny_models import Models

COUNTING = """
import json, sys, tomllib
from collections import Counter

from skillpm.cli import main
from skillpm.spec.manifest import Manifest

counts = Counter()

def count(owner, name, label):
    function = getattr(owner, name)
    def counting(*args, **named):
        counts[label(args[0])] += 1
        return function(*args, **named)
    setattr(owner, name, counting)

def kind(text):
    return "lock" if "[[skill]]" in text or "[base]" in text else "project file"

count(tomllib, "loads", kind)
count(Manifest, "model_validate", lambda _plain: "manifest")
try:
    main(sys.argv[1:])
except SystemExit as done:
    assert done.code == 0
sys.stderr.write(json.dumps(counts))
"""


def counts_of(*command: str) -> dict[str, int]:
    """How often a command parses each kind of document, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", COUNTING, "-q", *command],
        env={**os.environ, "PYTHONPATH": PACKAGES},
        capture_output=True,
        text=True,
        check=True,
    )
    counts: dict[str, int] = json.loads(ran.stderr.splitlines()[-1])
    return counts


@pytest.mark.parametrize(
    ("command", "manifests"),
    [
        ("install acme/sql --dry-run", 2),
        ("install acme/sql", 2),
        ("install", 1),
        ("upgrade", 1),
        ("uninstall acme/math", 1),
        ("rollback", 1),
        ("list", 0),
    ],
)
def test_command_parses_each_document_once(
    world: World, models: Models, command: str, manifests: int
) -> None:
    pair = models.pair("fp32")
    world.init(pair[0])
    world.ask("install", world.pack(pair, "acme/math", "1.0.0"))
    world.ask("publish", world.pack(pair, "acme/sql", "1.0.0"))
    counts = counts_of(*command.split())
    assert counts.get("project file", 0) <= 1
    assert counts.get("lock", 0) <= 2  # skillpm.lock, and the lock that the generation keeps
    assert counts.get("manifest", 0) <= manifests
