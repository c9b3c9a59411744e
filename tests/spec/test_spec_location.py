"""Locations of registries. Messages never show passwords."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.environment.edit import without_credentials
from skillpm.errors import SpecError
from skillpm.flows.session.bindings import resolved
from skillpm.spec.location import RegistryKind, RegistryLocation
from skillpm.spec.project import parse_project

parse = RegistryLocation.parse
SECRET = "s3cr3t-tok"  # noqa: S105 - what must not be shown


@pytest.mark.parametrize(("text", "kind", "folder"), [
    ("./ours", RegistryKind.FOLDER, "./ours"), ("/a b%20/c", RegistryKind.FOLDER, "/a b%20/c"),
    ("~/r", RegistryKind.FOLDER, "~/r"), ("/odd://name", RegistryKind.FOLDER, "/odd://name"),
    ("file:///a%20b/c", RegistryKind.FOLDER, "/a b/c"), ("file:/a", RegistryKind.FOLDER, "/a"),
    ("FILE://LocalHost/a b", RegistryKind.FOLDER, "/a b"),
    ("file:///%3F%23%25", RegistryKind.FOLDER, "/?#%"),
    ("file:///%ff", RegistryKind.FOLDER, "/\udcff"),
    ("https://example.com/x", RegistryKind.HTTP, None), ("HTTP://h:80", RegistryKind.HTTP, None),
    ("oci://host/prefix", RegistryKind.OCI, None), ("https://[::1]:8/x", RegistryKind.HTTP, None),
    ("ftp://host/x", RegistryKind.UNKNOWN, None),
])  # fmt: skip
def test_location_is_parsed(text: str, kind: RegistryKind, folder: str | None) -> None:
    location = parse(text)
    assert (location.kind, location.folder) == (kind, folder)
    assert location.reveal() == text
    assert str(location) == text
    assert not location.has_credentials


@pytest.mark.parametrize("text", [
    "", "a\0b", "x" * 5000, "file://elsewhere/x", "file:///a?b", "file:///a#b", "file:///a%00b",
    "https://", "https:///x", "https://h:99999/", "https://h:port/", "https://h:0/", "https://[::1",
])  # fmt: skip
def test_invalid_location_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse(text)


@pytest.mark.parametrize("text", [
    f"https://bob:{SECRET}@r.example/x", f"https://{SECRET}@r.example/x",
    f"https://bob:{SECRET}@r.example:8443/x?y=1#z", f"https://r.example/x?token={SECRET}",
    f"https://r.example/x?{SECRET}", f"https://r.example/x#{SECRET}",
    f"oci://bob:{SECRET}@host/p", f"HTTPS://bob:{SECRET}@h/x", f"ftp://u:{SECRET}@h/x",
    f"https://bob:{SECRET}@h:99999/x", f"https://bob:a/{SECRET}@h/x", f"https://bob:?{SECRET}@h/x",
    f"https://bob:#{SECRET}@h/x", f"https://bob:a@{SECRET}@h/x", f"https://bob:{SECRET}@[::1/x",
    f"file://bob:{SECRET}@h/x", f"https://bob:{SECRET}@/x",
])  # fmt: skip
def test_credentials_are_never_shown(text: str) -> None:
    assert SECRET not in said_of(text)


def said_of(text: str) -> str:
    """All texts of a location, or the message of its error."""
    try:
        location = parse(text)
    except SpecError as problem:
        return problem.message + str(problem.hint)
    assert SECRET in location.reveal()
    assert location.has_credentials
    return f"{location} {location!r} {location.public()}"


@given(st.text(max_size=30).map("https://".__add__) | st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        location = parse(text)
    except SpecError:
        return
    assert parse(location.reveal()) == location


def test_relative_path_is_resolved_against_the_naming_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = [resolved(parse(t), tmp_path).folder for t in ("./r", "~/r", "/r", "file:///a/%7E")]
    assert found == [str(tmp_path / "r"), "/home/me/r", "/r", "/a/~"]
    assert resolved(parse("https://h/x"), tmp_path) == parse("https://h/x")


def test_without_credentials_removes_them_from_a_project_file() -> None:
    text = (
        f'[project]\nbase = "b"\nroot = "sha256:{"ab" * 32}"\n[registries]\n'
        f'a = "https://u:{SECRET}@h/x" # kept\n'
        f'b = {{ url = "https://h/y?t={SECRET}", namespaces = ["c"] }}\nd = "./r"\n'
    )
    bare = without_credentials(text)
    assert SECRET not in bare
    assert "# kept" in bare
    shown = {name: str(entry.url) for name, entry in parse_project(bare).registries.items()}
    assert shown == {"a": "https://h/x", "b": "https://h/y", "d": "./r"}
    assert without_credentials(bare) == bare
    assert SECRET not in repr(parse_project(text))
