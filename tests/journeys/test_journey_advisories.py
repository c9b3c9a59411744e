"""Advisories, licences, ignore rules and the output formats of an audit."""

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from skillpm_world import World
from tiny_models import Models


@pytest.fixture
def audited(world: World, models: Models) -> World:
    pair = models.tuned("mlp")
    world.init(pair[0])
    more = ("--license", "mit", "--method", "sft", "--data", "sums")
    world.publish(pair, "acme/math", "1.0.0", *more)
    world.ask("install", "acme/math")
    return world


def osv(path: Path, name: str = "acme/math", **more: Any) -> Path:
    events = [{"introduced": "0"}, {"fixed": "1.2.0"}]
    package = {"ecosystem": "skillpm", "name": name}
    affected = [{"package": package, "ranges": [{"type": "SEMVER", "events": events}]}]
    plain = {"id": "ACME-1", "modified": "2026-01-01T00:00:00Z", "summary": "sums are off"}
    path.write_text(json.dumps({**plain, "affected": affected, **more}))
    return path


def codes(world: World, *more: object, code: int) -> list[str]:
    found = world.ask("audit", *more, code=code)["findings"]
    return [one["code"] for one in found if one["code"] != "unsigned"]


def policy(world: World, text: str) -> None:
    world.file.write_text(f"{world.file.read_text()}\n{text}\n")


def test_audit_reports_advisories_from_a_file_or_a_folder(audited: World) -> None:
    folder = audited.folder / "advisories"
    folder.mkdir()
    path = osv(folder / "one.json", aliases=["CVE-1"])
    for source in (path, folder):
        (found, *_) = audited.ask("audit", "--advisories", source, code=3)["findings"]
        assert (found["level"], found["code"], found["id"]) == ("high", "advisory", "ACME-1")
        assert "sums are off; fixed in 1.2.0" in found["message"]
    path.write_text('{"id": "x"}')
    assert "modified" in audited.fail("audit", "--advisories", path, code=1, kind="spec")
    path.unlink()
    audited.fail("audit", "--advisories", folder, code=1, kind="not_found")


def test_registry_advisory_is_added_listed_updated_and_withdrawn(audited: World) -> None:
    path = osv(audited.folder / "a.json")
    add = ("registry", "advisory", "add", path)
    assert audited.ask(*add)["advisories"][0]["changed"] is True
    assert audited.ask(*add)["advisories"][0]["changed"] is False
    assert codes(audited, code=3) == ["advisory"]
    osv(path, summary="other words")
    assert "set `modified` to a time after" in audited.fail(*add, code=1, kind="state")
    low = {"severity": "low"}
    osv(path, database_specific=low, modified="2026-01-02T00:00:00Z")
    assert audited.ask(*add)["advisories"][0]["changed"] is True
    assert codes(audited, code=0) == ["advisory"]
    done = audited.ask("registry", "advisory", "withdraw", "ACME-1")
    assert done["withdrawn"]
    assert audited.ask("registry", "advisory", "withdraw", "ACME-1") == done
    (row,) = audited.ask("registry", "advisory", "list")["advisories"]
    assert (row["id"], row["withdrawn"]) == ("ACME-1", done["withdrawn"])
    assert "withdrawn" in audited.run("registry", "advisory", "list").out
    assert codes(audited, code=0) == []
    audited.fail("registry", "advisory", "withdraw", "ACME-2", code=1, kind="not_found")


def test_advisory_add_refuses_an_unknown_skill(audited: World) -> None:
    path = osv(audited.folder / "a.json", "acme/maths")
    text = audited.fail("registry", "advisory", "add", path, code=4, kind="not_found")
    assert "acme/maths" in text


def test_advisory_list_of_an_empty_registry_is_empty(world: World) -> None:
    assert world.ask("registry", "advisory", "list")["advisories"] == []
    path = osv(world.folder / "a.json")
    world.fail("registry", "advisory", "add", path, code=4, kind="not_found")


def test_audit_ignore_rule_applies_until_its_date_and_is_then_reported(audited: World) -> None:
    path = osv(audited.folder / "a.json")
    before = audited.file.read_text()
    rule = '[[audit.ignore]]\nid = "ACME-1"\nreason = "no sums here"\nuntil = '
    policy(audited, rule + "2999-12-31")
    found = audited.ask("audit", "--advisories", path)
    assert [one["reason"] for one in found["ignored"]] == ["no sums here"]
    assert (
        "1 ignored (the first until 2999-12-31)" in audited.run("audit", "--advisories", path).out
    )
    audited.file.write_text(before)
    policy(audited, rule + "2020-01-01")
    assert codes(audited, "--advisories", path, code=3) == ["advisory", "ignore-expired"]


@pytest.mark.parametrize(
    ("table", "code", "expected"),
    [
        ('allow = ["MIT"]', 0, []),
        ('allow = ["Apache-2.0"]', 3, ["license-denied"]),
        ('deny = ["MIT"]', 3, ["license-denied"]),
    ],
)
def test_audit_checks_licences_against_the_policy(
    audited: World, table: str, code: int, expected: list[str]
) -> None:
    policy(audited, f"[audit.licenses]\n{table}")
    assert codes(audited, code=code) == expected


def test_audit_policy_with_a_misspelled_licence_is_an_error(audited: World) -> None:
    policy(audited, '[audit.licenses]\ndeny = ["GLP-3.0-only"]')
    assert "did you mean `GPL-3.0-only`?" in audited.fail("audit", code=1, kind="spec")


def test_pack_license_must_be_spdx_and_is_normalized(audited: World, models: Models) -> None:
    assert audited.ask("show", "acme/math")["releases"][0]["license"] == "MIT"
    pack = ("pack", *models.tuned("mlp"), "--name", "a/b", "--version", "1.0.0", "--license")
    assert "did you mean `Apache-2.0`?" in audited.fail(*pack, "Apache2", code=1, kind="spec")


def test_audit_fail_level_comes_from_the_project_or_the_flag(
    audited: World,
) -> None:
    policy(audited, '[audit]\nfail-on = "low"')
    assert audited.run("audit").code == 3
    outcome = audited.run("audit", "--fail-on", "high")
    assert outcome.code == 0
    assert "1 of lower levels" in outcome.out
    assert "unsigned" not in outcome.out
    assert "unsigned" in audited.run("audit").out


def test_audit_sarif_has_the_fields_that_code_scanning_requires(audited: World) -> None:
    path = osv(audited.folder / "a.json")
    out = audited.folder / "audit.sarif"
    done = audited.run("audit", "--advisories", path, "--format", "sarif", "--output", out)
    assert done.code == 3
    log = json.loads(out.read_text())
    assert (log["version"], "sarif-2.1.0" in log["$schema"]) == ("2.1.0", True)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "skillpm"
    assert [rule["id"] for rule in rules] == ["advisory", "unsigned"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        line = audited.lock.splitlines()[place["region"]["startLine"] - 1]
        assert (place["artifactLocation"]["uri"], line) == ("skillpm.lock", 'skill = "acme/math"')
    assert audited.run("audit", "--format", "sarif").out.startswith("{")


def test_audit_cyclonedx_is_valid_and_deterministic(audited: World) -> None:
    audited.graft_root()
    path = osv(audited.folder / "a.json")
    texts = [
        audited.run("audit", "--advisories", path, "--format", "cyclonedx").out for _ in range(2)
    ]
    assert texts[0] == texts[1]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(texts[0]) is None
    bom = json.loads(texts[0])
    graft = bom["metadata"]["component"]
    assert graft["type"] == "machine-learning-model"
    (base,) = graft["pedigree"]["ancestors"]
    assert base["version"] in audited.file.read_text()
    (pack,) = bom["components"]
    assert (pack["group"], pack["name"], pack["version"]) == ("acme", "math", "1.0.0")
    assert pack["hashes"][0]["content"] in audited.lock
    assert pack["licenses"] == [{"expression": "MIT"}]
    assert pack["modelCard"]["modelParameters"]["modelArchitecture"] == "LlamaForCausalLM"
    assert bom["vulnerabilities"][0]["affects"] == [{"ref": pack["bom-ref"]}]
    assert {"ref": "graft", "dependsOn": [pack["bom-ref"]]} in bom["dependencies"]
    assert "timestamp" not in bom["metadata"]


def test_audit_cyclonedx_has_a_timestamp_only_with_source_date_epoch(
    audited: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    text = audited.run("audit", "--format", "cyclonedx").out
    assert json.loads(text)["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_audit_json_with_another_format_requires_an_output_file(audited: World) -> None:
    audited.fail("audit", "--format", "sarif", code=2, kind="usage")
    out = audited.folder / "bom.json"
    assert audited.ask("audit", "--format", "cyclonedx", "--output", out)["checked"] == 4
    assert json.loads(out.read_text())["bomFormat"] == "CycloneDX"
