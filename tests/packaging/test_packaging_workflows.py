"""The workflows of GitHub: least rights, pinned actions, and commands that exist."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("[1-9]*.yml"))
BY_NAME = {path.stem: path for path in WORKFLOWS}
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_there_is_a_workflow_for_changes_and_one_for_releases() -> None:
    assert set(BY_NAME) == {"ci", "release"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_pins_actions_and_gives_each_job_its_own_rights(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert [line for line in lines if not PINNED.search(line)] == []
    workflow = read(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        assert job["permissions"], name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_commands_of_a_workflow_name_targets_and_files_that_exist(path: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for job in read(path)["jobs"].values():
        for command in commands(job):
            for target in re.findall(r"\bmake ([\w-]+)", command):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), command
            for file in re.findall(r"\bsh (\S+)", command):
                assert (REPOSITORY / file).is_file(), command


def test_only_the_jobs_that_sign_and_publish_can_ask_for_an_identity() -> None:
    jobs = read(BY_NAME["release"])["jobs"]
    signing = {name for name, job in jobs.items() if "id-token" in job["permissions"]}
    assert signing == {"attest", "publish"}
    writing = {name for name, job in jobs.items() if job["permissions"].get("contents") == "write"}
    assert writing == {"announce"}
    assert not {name for name, job in read(BY_NAME["ci"])["jobs"].items()
                if job["permissions"] != {"contents": "read"}}  # fmt: skip


def test_release_is_tried_before_it_is_published_and_uses_no_stored_token() -> None:
    jobs = read(BY_NAME["release"])["jobs"]
    assert jobs["try"]["needs"] == "build"
    assert jobs["attest"]["needs"] == ["build", "try"]
    assert jobs["publish"]["needs"] == "attest"
    assert jobs["publish"]["environment"] == "pypi"
    assert "secrets." not in BY_NAME["release"].read_text(encoding="utf-8")


def test_python_versions_are_those_of_the_classifiers() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    declared = set(re.findall(r"Python :: (3\.\d+)", project))
    release, ci = (read(BY_NAME[name])["jobs"] for name in ("release", "ci"))
    assert set(release["try"]["strategy"]["matrix"]["python"]) == declared
    checked = ci["check"]["steps"][1]["with"]["python-version"]
    assert {checked, *ci["test"]["strategy"]["matrix"]["python"]} == declared


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_issue_form_has_fields_with_different_names(path: Path) -> None:
    form = read(path)
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)


def test_build_runs_nothing_that_a_tag_names(tmp_path: Path) -> None:
    build = commands(read(BY_NAME["release"])["jobs"]["build"])
    assert not [line for line in build if "github." in line or "REF" in line]
    made = tmp_path / "made"
    tag = f"v1$(shell touch {made})`touch {made}`;touch {made}"
    shown = subprocess.run(
        ["make", "--dry-run", "dist"], cwd=REPOSITORY, env={**os.environ, "TAG": tag}, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert '--tag "$TAG"' in shown
    assert str(made) not in shown
    assert not made.exists()
