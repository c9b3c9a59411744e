"""The OCI manifest of a pack: strict reader, canonical writer."""

import json
from typing import Any

import pytest
from hypothesis import given
from spec_documents import A, B, C, image_plain
from spec_strategies import altered

from skillpm.errors import SpecError
from skillpm.spec.oci import CARD_TYPE, DELTA_TYPE, PackImage, parse_image


def parse(plain: Any) -> PackImage:
    return parse_image(json.dumps(plain).encode())


def test_image_lists_its_blobs_and_is_written_canonically() -> None:
    image = parse(image_plain())
    assert {str(digest): size for digest, size in image.blobs.items()} == {A: 10, B: 20, C: 5}
    assert [str(layer.digest) for layer in image.layer(DELTA_TYPE)] == [B]
    assert image.layer(CARD_TYPE)[0].to_dict() == image_plain()["layers"][1]
    assert json.loads(image.canonical()) == image_plain()
    assert parse_image(image.canonical()) == image


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("schemaVersion",), 1, "schemaVersion: "),
        (("schemaVersion",), 2.0, "schemaVersion: expected a whole number, found the number 2.0"),
        (("artifactType",), "text/plain", "artifactType: "),
        (("config", "digest"), "sha256:x", "config.digest: 'sha256:x' is not a digest"),
        (("config", "size"), -1, "config.size: "),
        (("config", "size"), "10", "config.size: "),
        (("config", "mediaType"), "text/plain", "the OCI manifest has a config of type"),
        (("layers", 1, "mediaType"), "text/html", "layers[1] has the unknown type 'text/html'"),
        (("layers", 1, "digest"), B, f"blob {B} is listed with different sizes"),
    ],
)
def test_problem_is_reported(path: tuple[Any, ...], value: Any, problem: str) -> None:
    plain = image_plain()
    node: Any = plain
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    with pytest.raises(SpecError) as caught:
        parse(plain)
    assert problem in caught.value.message


@given(altered(image_plain()))
def test_any_altered_image_is_read_or_refused(plain: Any) -> None:
    try:
        image = parse(plain)
    except SpecError as problem:
        assert problem.kind == "spec"  # noqa: PT017 - some are read
    else:
        assert parse_image(image.canonical()) == image
