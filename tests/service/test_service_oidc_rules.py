"""Rules of trusted publishing: which claims match them, and which rules are too weak."""

import pytest

from skillpm_registry.app.access.oidc import is_pull_request, rule_matches, rule_problems
from skillpm_registry.app.config import IssuerConfig

CLAIMS = {
    "repository_id": "123", "repository_owner_id": "45", "environment": "release",
    "job_workflow_ref": "acme/skills/.github/workflows/release.yml@refs/heads/main",
    "ref": "refs/heads/main",
}  # fmt: skip
WORKFLOW = "acme/skills/.github/workflows/release.yml@"


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({"repository_id": "123"}, True),
        ({"repository_id": "1234"}, False),
        ({"repository_id": "12"}, False),
        ({"repository_id": "123", "environment": "release"}, True),
        ({"repository_id": "123", "environment": "test"}, False),
        ({"repository_id": "123", "absent": "x"}, False),
        ({"job_workflow_ref": f"{WORKFLOW}*"}, True),
        ({"job_workflow_ref": f"{WORKFLOW}refs/tags/*"}, False),
        ({"ref": "refs/heads/*"}, True),
        ({"repository_id": "*"}, False),
        ({}, False),
    ],
)
def test_a_rule_matches_only_if_every_claim_does(wanted: dict[str, str], matches: bool) -> None:  # noqa: FBT001
    assert rule_matches(wanted, CLAIMS) is matches


STRONG = {"repository_id": "123", "repository_owner_id": "45", "job_workflow_ref": f"{WORKFLOW}*"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"repository_id": None}, "must name `repository_id`"),
        ({"repository_owner_id": None}, "must name `repository_owner_id`"),
        ({"job_workflow_ref": None}, "must name one of"),
        ({"job_workflow_ref": "acme/*"}, "up to `@`"),
        ({"job_workflow_ref": "*@*"}, "cannot have `*`"),
        ({"environment": "rel*"}, "`environment` cannot have `*`"),
        ({"repository_id": "*"}, "cannot have `*`"),
    ],
)
def test_weak_rules_are_refused(changes: dict[str, str | None], problem: str | None) -> None:
    wanted = {name: value for name, value in {**STRONG, **changes}.items() if value is not None}
    problems = rule_problems(IssuerConfig(issuer="https://issuer.example"), wanted)
    assert problems == [] if problem is None else any(problem in text for text in problems)


def test_pushes_tags_and_schedules_are_no_pull_requests() -> None:
    for event in ("push", "release", "schedule", "workflow_dispatch"):
        assert not is_pull_request({"event_name": event, "ref": "refs/tags/v1", "sub": "repo:a/b"})
