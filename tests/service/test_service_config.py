"""The configuration of a service."""

from pathlib import Path

import pytest

from skillpm.errors import SpecError, UsageError
from skillpm_registry.app.config import embedded_config, read_config

FILE = """
database = "postgresql+psycopg://skillpm@db/skillpm"
blobs = "s3://skills/blobs"
url = "https://skills.example.org"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]

[limits]
reads_per_minute = 100

[[oidc]]
issuer = "https://token.actions.githubusercontent.com"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(FILE)
    return path


def test_a_file_configures_a_service(file: Path) -> None:
    config = read_config(file, {})
    assert config is not None
    assert config.blobs == "s3://skills/blobs"
    assert config.static == "s3://skills/blobs/public"
    assert config.limits.reads_per_minute == 100
    assert config.limits.chunk_bytes == 1 << 20
    assert config.oidc[0].algorithms == ["RS256", "ES256"]


def test_variables_are_enough_and_override_the_file(file: Path) -> None:
    variables = {
        "SKILLPM_SERVER_DATABASE": "sqlite:////srv/registry.db",
        "SKILLPM_SERVER_BLOBS": "/srv/blobs",
        "SKILLPM_SERVER_URL": "https://other.example.org",
    }
    config = read_config(None, variables)
    assert config is not None
    assert (config.database, config.static) == ("sqlite:////srv/registry.db", "/srv/blobs/public")
    both = read_config(file, {"SKILLPM_SERVER_URL": "https://other.example.org"})
    assert both is not None
    assert (both.url, both.blobs) == ("https://other.example.org", "s3://skills/blobs")
    assert read_config(None, {"SKILLPM_SERVER_URL": ""}) is None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[limits]", "[limit]", "did you mean"),
        ("reads_per_minute", "reads_per_minut", "did you mean"),
        ("https://skills.example.org", "skills.example.org", "expected a URL"),
        ("https://skills.example.org", "https://skills.example.org/", "without a final slash"),
        ("10.0.0.0/8", "10.0.0.0/99", "expected an address or a network"),
        ("postgresql+psycopg", "postgresql", r"postgresql\+psycopg"),
        ("https://token", "http://token", "expected an https URL"),
        ("reads_per_minute = 100", "reads_per_minute = -1", "at least 0"),
        ("[[oidc]]", '[[oidc]]\nalgorithms = ["HS256"]', "RS256"),
        ("[[oidc]]", '[[oidc]]\nalgorithms = ["none"]', "RS256"),
        ("[limits]", "[limits]\nchunk_bytes = 1", "at least 65536"),
    ],
)
def test_a_bad_value_is_reported_with_its_path(
    file: Path, old: str, new: str, problem: str
) -> None:
    file.write_text(FILE.replace(old, new))
    with pytest.raises(SpecError, match=problem):
        read_config(file, {})


def test_a_missing_value_and_a_missing_file_are_errors(file: Path) -> None:
    with pytest.raises(SpecError, match="database: missing") as caught:
        read_config(None, {"SKILLPM_SERVER_URL": "https://a.example"})
    assert "SKILLPM_SERVER_DATABASE" in str(caught.value.hint)
    with pytest.raises(UsageError, match="cannot be read"):
        read_config(file.parent / "absent.toml", {})
    file.write_bytes(b"\xff")
    with pytest.raises(SpecError, match="UTF-8"):
        read_config(file, {})


def test_an_issuer_is_listed_once(file: Path) -> None:
    file.write_text(FILE + FILE[FILE.index("[[oidc]]") :])
    with pytest.raises(SpecError, match="listed twice"):
        read_config(file, {})


def test_an_embedded_registry_needs_no_configuration(tmp_path: Path) -> None:
    config = embedded_config(tmp_path, "http://127.0.0.1:8765")
    assert config.database == f"sqlite:///{tmp_path}/registry.db"
    assert config.blobs == str(tmp_path)
