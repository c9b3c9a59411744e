"""Every parser of untrusted input: a function of bytes, and valid inputs.

A target may refuse with a `SkillpmError`, or return; any other exception is a finding.
"""

import base64
import struct
from collections.abc import Callable, Iterator
from functools import partial

from fuzz_checks import check_targets
from fuzz_codecs import codec_targets
from fuzz_files import file_targets
from fuzz_seeds import (
    ADAPTER,
    ADVISORY,
    BUNDLE,
    CONFIG,
    GENERATION,
    IMAGE,
    INDEX,
    KEYS,
    LOCK,
    PLAN,
    PROBES,
    PROJECT,
    ROOT,
    SAVED,
    SIDE_FILES,
    dump,
)
from fuzz_target import Target
from spec_documents import manifest_plain

from skillpm.adapters.config import parse_config
from skillpm.adapters.keys import sort_keys
from skillpm.archive.layout import check_layout, read_index
from skillpm.audit.licences import Policy, normal_licence
from skillpm.environment.edit import set_base, without_credentials
from skillpm.environment.generation import parse_generation
from skillpm.spec import json, toml
from skillpm.spec.advisory import parse_advisories
from skillpm.spec.budget import Budget
from skillpm.spec.bundle import (
    parse_bundle_image,
    parse_bundled_base,
)
from skillpm.spec.config import read_config
from skillpm.spec.conflict import sides
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.lockfile import parse_lockfile
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import parse_image
from skillpm.spec.overlap import read_sketch
from skillpm.spec.plan import parse_plan
from skillpm.spec.policy import Licences
from skillpm.spec.probes import parse_probes
from skillpm.spec.project import parse_project
from skillpm.spec.requirements import Requirement, VersionRange
from skillpm.spec.savedindex import parse_index
from skillpm.spec.sidefiles import check_content, check_name, merge_patch
from skillpm.spec.versions import Version


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of a command-line argument, which may contain any bytes."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def _utf8(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of a text file, which is decoded as UTF-8 first."""
    return lambda data: parse(data.decode("utf-8", "replace"))


def _requirement(text: str) -> object:
    need = Requirement.parse(text)
    return need.admits(need.skill, Version.parse("1.2.3")), str(need)


def _version(text: str) -> object:
    version = Version.parse(text)
    return version < Version.parse("1.2.3"), str(version), version in VersionRange.parse("^1")


def _advisories(data: bytes) -> object:
    found = parse_advisories(data, "the advisory")
    skill, version = SkillName.parse("acme/x"), Version.parse("1.0.0")
    return [
        (a.level, a.modified_at, a.canonical(), a.affects(skill, version), a.names,
         a.fixed_in(skill, version)) for a in found
    ]  # fmt: skip


def _licence(text: str) -> object:
    policy = Policy(Licences(allow=["MIT"], deny=["GPL-2.0-or-later"]))
    return normal_licence(text), policy.refusal(text)


def _project(text: str) -> object:
    file = parse_project(text)
    return file.requirements, file.root, set_base(text, "b"), without_credentials(text)


def _lock(text: str) -> str:
    return parse_lockfile(text).dumps()


def _manifest(data: bytes) -> object:
    manifest = parse_manifest(data)
    return manifest.canonical(), manifest.ref


def _plain_json(data: bytes) -> object:
    plain = json.parse_object(data, "the document")
    return json.canonical(plain), merge_patch(plain, plain)


def _side(name: str, data: bytes) -> object:
    patch = json.parse_object(data, "a side file")
    check_content(name, patch, keys=patch.keys(), patch=True)
    return patch


def _keys(data: bytes) -> object:
    return sort_keys(data.decode("utf-8", "replace").split("\n"), "the adapter")


def _documents() -> Iterator[Target]:
    yield Target("manifest", _manifest, (dump(manifest_plain()),))
    yield Target("OCI image manifest", parse_image, (dump(IMAGE),))
    yield Target("OCI index", read_index, (dump(INDEX),))
    yield Target("OCI layout", check_layout, (b'{"imageLayoutVersion":"1.0.0"}',))
    yield Target("advisory", _advisories, (dump(ADVISORY), dump([ADVISORY])))
    yield Target("probes", partial(parse_probes, what="the probes"), (PROBES,))
    yield Target("saved index", parse_index, (dump(SAVED),))
    yield Target("plan", partial(parse_plan, what="the plan"), (dump(PLAN),))
    yield Target("bundle image", parse_bundle_image, (dump(BUNDLE),))
    yield Target("bundle base", parse_bundled_base, (dump(manifest_plain()["base"]),))
    generation = partial(parse_generation, what="the generation")
    yield Target("generation", generation, (dump(GENERATION),))
    yield Target(
        "adapter config", partial(parse_config, what="the config"), (dump(ADAPTER),)
    )  # fmt: skip
    for name, seed in SIDE_FILES.items():
        yield Target(f"side file {name}", partial(_side, name), (dump(seed),))
    yield Target("JSON", _plain_json, (dump(manifest_plain()),))


def _texts() -> Iterator[Target]:
    yield Target("lockfile", _utf8(_lock), (LOCK,))
    yield Target("project file", _utf8(_project), (PROJECT,))
    yield Target("merge conflict", _utf8(sides), (b"<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n",))
    config = lambda text: read_config(toml.parse(text, "config"), "config")  # noqa: E731
    yield Target("user config", _utf8(config), (CONFIG,))
    yield Target("requirement", _text(_requirement), (b"acme/x >=1.2, <2", b"acme/x@~1.2.3-rc.1"))
    yield Target("version", _text(_version), (b"1.2.3-rc.1+b", b"10.0.0"))
    yield Target("skill name", _text(SkillName.parse), (b"acme/a.b_c--d",))
    yield Target("digest", _text(Digest), (ROOT.encode(),))
    yield Target("licence", _utf8(_licence), (b"MIT OR (Apache-2.0 AND GPL-2.0+)", b"MIT"))
    yield Target("budget", _text(Budget.parse), (b"80MB", b"5%", b"1.5 GiB"))
    yield Target(
        "location", _text(RegistryLocation.parse), (b"https://u:p@h:8/x?y#z", b"file:///a%20")
    )
    yield Target("side file name", _text(check_name), (b"tokenizer.json",))
    yield Target(
        "sketch", _text(read_sketch), (base64.b64encode(struct.pack("<256f", *range(256))),)
    )
    yield Target("adapter keys", _keys, (KEYS,))


def all_targets() -> Iterator[Target]:
    """Every parser; created on demand, because seeds cost some milliseconds each."""
    yield from _documents()
    yield from _texts()
    yield from file_targets()
    yield from codec_targets()
    yield from check_targets()
