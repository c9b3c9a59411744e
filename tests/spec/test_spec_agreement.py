"""Which facts about an architecture must agree between the packs of a set."""

from typing import Any

import pytest
from spec_documents import C, manifest_plain

from skillpm.spec.agreement import fact_differences
from skillpm.spec.manifest import Manifest

TIED = {"lm_head.weight": "embed.weight", "decoder.weight": "embed.weight"}
TURNED = {"embed.weight": "decoder.weight", "lm_head.weight": "decoder.weight"}
OLDER = "transformers 5.0.0"
NEWER = "transformers 5.24.0"


def manifest(skill: str, *, patches: bool = True, **facts: Any) -> Manifest:
    stated = {"tied": {}, "names": {}, "config_keys": [], "library": NEWER}
    files = [{"path": "config.json", "digest": C, "kind": "patch"}] if patches else []
    return Manifest.model_validate({
        **manifest_plain(), "skill": skill, "files": files,
        "architecture_facts": {**stated, **facts},
    })  # fmt: skip


def said(*facts: dict[str, Any]) -> list[str]:
    manifests = [manifest(f"acme/s{number}", **stated) for number, stated in enumerate(facts)]
    return [str(each) for each in fact_differences(manifests)]


@pytest.mark.parametrize(("first", "second"), [
    ({}, {}),
    ({"library": OLDER}, {"library": NEWER}),
    ({"tied": TIED}, {"tied": TURNED, "library": OLDER}),
    ({"names": {"a": "b"}}, {"names": {"a": "b"}, "library": OLDER}),
    ({"config_keys": ["a"], "library": OLDER}, {"config_keys": ["a", "b"]}),
    ({"config_keys": ["a"], "patches": False}, {"config_keys": ["b"]}),
    ({"tied": TIED}, {"library": None}),
])  # fmt: skip
def test_fact_differences_ignore_the_library_version(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert said(first, second) == []
    assert said(second, first) == []


@pytest.mark.parametrize(("first", "second", "shown"), [
    ({"tied": TIED}, {"library": OLDER}, "tied.decoder.weight"),
    ({"tied": TIED}, {"tied": {"lm_head.weight": "embed.weight"}}, "tied.decoder.weight"),
    ({"names": {"a": "b"}}, {"names": {"a": "c"}}, "names.a"),
    ({"names": {"a": "b"}}, {}, "names.a"),
    ({"config_keys": ["a", "b"]}, {"config_keys": ["a", "c"], "library": OLDER}, "config_keys"),
])  # fmt: skip
def test_fact_differences_show_both_packs_and_both_versions(
    first: dict[str, Any], second: dict[str, Any], shown: str
) -> None:
    for pair in ((first, second), (second, first)):
        (text,) = said(*pair)
        assert f"`architecture_facts.{shown}`" in text
        for number, facts in enumerate(pair):
            assert f"`acme/s{number}`" in text
            assert facts.get("library", NEWER) in text


def test_fact_differences_compare_equal_facts_once() -> None:
    groups: list[dict[str, Any]] = [{"tied": TIED}] * 4 + [{}] * 4 + [{"names": {"a": "b"}}]
    assert len(said(*groups)) == 3
