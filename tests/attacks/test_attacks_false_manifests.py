"""False packs with valid digests: one statement of the manifest is wrong.

`verify` on the base refuses every wrong number and name of a manifest, except for claims that only
the author can know. Those are listed here with the reason, and `verify` shows them as claims.
"""

import re
from pathlib import Path

import pytest
from false_manifests import NORM, SCHEMES, Lie, LieWorld, lies, make_lie_world
from thoroughness import stride

from skillpm.errors import SkillpmError
from skillpm.spec.digests import Digest
from skillpm.verification.claims import claims_of
from skillpm.verification.evidence import shown

CLAIMS = {
    "skill": "another name makes another skill; a registry binds namespaces",
    "version": "another version makes another release",
    "summary": "prose",
    "license": "what its author may grant, no byte shows",
    "authors": "people",
    "created": "a time in the past",
    "base.name": "a folder's name; the root identifies the base",
    "capabilities[*].value": "needs the models run: `skillpm probe`",
    "capabilities[*].base_value": "needs the models run: `skillpm probe`",
    "capabilities[1]": "measured without probes that the pack carries",
    "compression.scheme": "lossless, of an adapter: that no other model was cut down to it",
    "compression.relative_error": "needs the tuned model",
    "compression.modules.*.relative_error": "needs the tuned model",
    "compression.settings.energy": "needs the singular values of the tuned model's delta",
    "compression.settings.alpha": "a bound: fewer may be kept, where fewer differ",
    "compression.settings.mlp_rank": "a bound: the energy may ask for less",
    "compression.settings.keep": "needs the tuned model",
    "compression.settings.curve": "what other sizes would have cost",
    "compression.settings.budget": "a bound: the pack may be smaller",
    "compression.settings.adapter.alpha": "the scale in the payload may come from a pattern",
    "compression.settings.adapter.rslora": "the scale in the payload may come from a pattern",
    "compression.settings.adapter.modules": "modules without factors leave none to count",
    "architecture_facts": "of another version of the library than is here",
    "files[*].path": "needs the tuned model's folder",
    "files[*].kind": "needs the tuned model's folder",
    "must_understand": "the author's choice; keys that are unknown here are refused",
    "lineage": "releases that are not here",
    "provenance": "the author's own account",
}
OMISSIONS = {
    "capabilities[*].probes": "a pack has one probe file at most",
    "files[*]": "that a file was removed, needs the tuned model's folder",
}
"""Claims that can be left out and then state nothing."""
STRIDE = stride(6)


@pytest.fixture(scope="session")
def liars(tmp_path_factory: pytest.TempPathFactory) -> LieWorld:
    return make_lie_world(tmp_path_factory.mktemp("lies"))


def _is_claim(path: str) -> bool:
    """Whether a path is one of `CLAIMS`, or below one."""
    forms = {path, re.sub(r"\[\d+\]", "[*]", path)}
    forms |= {re.sub(r"modules\.\w+", "modules.*", form) for form in forms}
    return any(
        form == claim or form.startswith((f"{claim}.", f"{claim}["))
        for form in forms
        for claim in CLAIMS
    )


def _is_shown(liars: LieWorld, path: Path, lie: Lie) -> bool:
    """Whether `verify` shows a claim at the changed path; an empty claim need not be shown."""
    claims = [claim.path for claim in liars.verify(path).claims]
    covered = any(lie.path == c or lie.path.startswith((f"{c}.", f"{c}[")) for c in claims)
    return covered or lie.value in ("left out", "")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_statement_is_recomputed_or_shown_as_a_claim(
    scheme: str, liars: LieWorld, tmp_path: Path
) -> None:
    path, believed, refused = tmp_path / "lie.skillpack", [], 0
    for number, lie in enumerate(lies(liars.forge(scheme).manifest)):
        if number % STRIDE and lie.path not in ("compression.ratio", "base.name", "sketch"):
            continue
        liars.lie(scheme, lie.manifest, path)
        try:
            liars.verify(path)
        except SkillpmError:
            refused += 1
            continue
        omitted = lie.value == "left out" and re.sub(r"\[\d+\]", "[*]", lie.path) in OMISSIONS
        if not omitted and not (_is_claim(lie.path) and _is_shown(liars, path, lie)):
            believed.append((lie.path, lie.value))
    assert believed == []
    assert refused > 20


@pytest.mark.parametrize("scheme", SCHEMES)
def test_honest_pack_of_every_scheme_is_verified(scheme: str, liars: LieWorld) -> None:
    found = liars.verify(liars.packs[scheme])
    assert found.root == found.pack.manifest.result_root
    assert all(_is_claim(claim.path) for claim in claims_of(found.pack.manifest))


def test_lossy_pack_that_states_lossless_is_refused(liars: LieWorld, tmp_path: Path) -> None:
    manifest = liars.forge("graftllm").manifest
    compression = manifest["compression"]
    compression |= {"scheme": "lossless", "relative_error": 0.0, "settings": {}}
    for module in compression["modules"].values():
        module["relative_error"] = 0.0
    with pytest.raises(SkillpmError, match=r"scheme: stated lossless, expected a lossy scheme"):
        liars.verify(liars.lie("graftllm", manifest, tmp_path / "lie.skillpack"))


@pytest.mark.parametrize(
    ("scheme", "path", "value"),
    [
        ("graftllm", "columns", ["8/4/2"]),
        ("graftllm", "columns", {}),
        ("lora", "adapter.ranks", [[4], {}]),
        ("keep", "gain_kept", "all"),
        ("keep", "gain_error", -1),
        ("keep", "probes", ["divergence"]),
        ("graftllm", "probes.divergence", "none"),
        ("graftllm", "probes.scores", {"mrr": {"base": 0, "tuned": 1, "pack": "1"}}),
    ],
)
def test_setting_of_another_type_is_named(
    scheme: str, path: str, value: object, liars: LieWorld, tmp_path: Path
) -> None:
    manifest = liars.forge(scheme).manifest
    settings = manifest["compression"]["settings"]
    if path == "adapter.ranks":
        settings["adapter"]["modules"] += 1
    *above, key = path.split(".")
    for name in above:
        settings = settings.setdefault(name, {})
    settings[key] = value
    with pytest.raises(SkillpmError, match=rf"settings\.{re.escape(path)}: stated "):
        liars.verify(liars.lie(scheme, manifest, tmp_path / "lie.skillpack"))


def test_all_false_statements_are_named_at_once(liars: LieWorld, tmp_path: Path) -> None:
    manifest = liars.forge("lossless").manifest
    manifest["base"]["parameters"] += 1
    manifest["base"]["architecture"] = "BertModel"
    manifest["compression"]["modules"]["norm"]["bytes"] += 1
    manifest["sketch"] = liars.forge("graftllm").manifest["sketch"]
    with pytest.raises(SkillpmError) as problem:
        liars.verify(liars.lie("lossless", manifest, tmp_path / "lie.skillpack"))
    for path in ("base.parameters", "base.architecture", "modules.norm.bytes", "sketch"):
        assert f"{path}: stated " in problem.value.message


def test_false_documents_payload_and_annotations_are_named_together(
    liars: LieWorld, tmp_path: Path
) -> None:
    forge = liars.forge("lossless")
    forge.manifest["compression"]["ratio"] = 1e6
    forge.manifest["base"]["parameters"] += 1
    forge.manifest["result_root"] = str(Digest.of(b"another root"))
    forge.image["annotations"]["org.opencontainers.image.title"] = "acme/another"
    with pytest.raises(SkillpmError) as problem:
        liars.verify(forge.write(tmp_path / "lie.skillpack"))
    for path in ("compression.ratio", "base.parameters", "result_root", "image.title"):
        assert path in problem.value.message


def test_statements_that_need_no_base_are_checked_without_one(
    liars: LieWorld, tmp_path: Path
) -> None:
    from skillpm.flows.inspect.verify import verify_pack

    for change in ({"ratio": 1e6}, {"delta_bytes": 1}, {"relative_error": 0.5}):
        manifest = liars.forge("lossless").manifest
        manifest["compression"] |= change
        path = liars.lie("lossless", manifest, tmp_path / "lie.skillpack")
        with pytest.raises(SkillpmError, match=f"compression.{next(iter(change))}"):
            verify_pack(liars.session, path, None)


def test_annotation_that_differs_from_the_manifest_is_refused(
    liars: LieWorld, tmp_path: Path
) -> None:
    forge = liars.forge("lossless")
    forge.image["annotations"]["org.opencontainers.image.title"] = "acme/another"
    with pytest.raises(SkillpmError, match=r"OCI annotation .*image\.title"):
        liars.verify(forge.write(tmp_path / "lie.skillpack"))
    forge.image["annotations"] = {"org.example.note": "others may say what they like"}
    assert liars.verify(forge.write(tmp_path / "noted.skillpack")).root


def test_shown_truncates_a_long_value() -> None:
    assert shown("x" * 200) == "x" * 89 + "…"
    assert NORM in shown([NORM])
