"""The same samples give the same signature, and only sound signatures are used."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from routing_worlds import BASE, WIDTH, cloud, signature
from safetensors.numpy import load, save

from skillpm.errors import IntegrityError
from skillpm.routing.signature import (
    LIMIT,
    MOST,
    MOST_BACKGROUND,
    Signature,
    parse_signature,
)
from skillpm.routing.signature import (
    WIDTH as WIDEST,
)
from skillpm.spec.digests import Digest

META = {"format": "1", "base": str(BASE), "background": "file"}


def test_signature_round_trips_in_half_precision() -> None:
    made = signature(3)
    found = parse_signature(made.dumps(), BASE, "it")
    assert np.abs(found.examples - made.examples).max() < 1e-3
    assert (found.source, found.base, found.background.shape) == ("file", BASE, (40, WIDTH))
    assert found.dumps() == made.dumps()


def test_signature_is_a_safetensors_file() -> None:
    found = load(signature(3).dumps())
    assert {key: str(one.dtype) for key, one in found.items()} == {
        "background": "float16",
        "examples": "float16",
    }


def test_signature_may_have_an_empty_background() -> None:
    made = Signature(BASE, cloud(1, 9), np.zeros((0, WIDTH)))
    assert parse_signature(made.dumps(), BASE, "it").background.shape == (0, WIDTH)


def parts(**changed: Any) -> dict[str, Any]:
    whole = {
        "examples": cloud(1, 20).astype(np.float16),
        "background": cloud(2, 5).astype(np.float16),
    }
    return {key: one for key, one in {**whole, **changed}.items() if one is not None}


def scaled(factor: float) -> Any:
    return (factor * cloud(1, 20)).astype(np.float16)


def poisoned(value: float) -> Any:
    points = cloud(1, 20).astype(np.float16)
    points[3, 4] = value
    return points


def test_untrusted_text_is_truncated_in_messages() -> None:
    for key in ("format", "base"):
        with pytest.raises(IntegrityError) as problem:
            parse_signature(save(parts(), {**META, key: "A" * 500_000}), BASE, "it")
        assert len(problem.value.message) < 300


def test_largest_signature_is_read() -> None:
    rows = (np.full((count, WIDEST), WIDEST**-0.5) for count in (MOST, MOST_BACKGROUND))
    examples, background = rows
    largest = Signature(BASE, examples, background).dumps()
    found = parse_signature(largest, BASE, "it")
    assert (found.examples.shape, found.background.shape) == ((128, 512), (512, 512))
    assert 1.5 * len(largest) < LIMIT


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a safetensors file"),
        (b"\xff" * 64, "not a safetensors file"),
        (b"\0" * (LIMIT + 1), "over the limit"),
        (save(parts(), {**META, "format": "2"}), "format '2'"),
        (save(parts(), {"format": "1"}), "of base None"),
        (save(parts(), {**META, "base": str(Digest.of(b"other"))}), "of base"),
        (save(parts(background=None), META), "two F16 matrices"),
        (save(parts(more=np.zeros((1, 1), np.float16)), META), "two F16 matrices"),
        (save(parts(examples=cloud(1, 20).astype(np.float32)), META), "two F16 matrices"),
        (save(parts(examples=cloud(1, 20)[0].astype(np.float16)), META), "two F16 matrices"),
        (save(parts(examples=cloud(1, 7).astype(np.float16)), META), "7 × 12"),
        (save(parts(examples=cloud(1, MOST + 1).astype(np.float16)), META), "129 × 12"),
        (save(parts(background=cloud(1, 513).astype(np.float16)), META), "513 × 12"),
        (save(parts(examples=np.zeros((20, 513), np.float16)), META), "20 × 513"),
        (save(parts(background=np.zeros((5, 11), np.float16)), META), "different widths"),
        (save(parts(examples=poisoned(np.nan)), META), "not finite"),
        (save(parts(examples=poisoned(np.inf)), META), "not finite"),
        (save(parts(examples=poisoned(2000)), META), "should have length 1"),
        (
            save(parts(examples=scaled(1.9)), META),
            "should have length 1, found a row of length 1.9",
        ),
        (save(parts(background=scaled(1.9)), META), "should have length 1"),
        (save(parts(background=scaled(0.99)), META), "should have length 1"),
        (save(parts(examples=scaled(0)), META), "should have length 1, found a row of length 0"),
        (save(parts(examples=scaled(1e-7)), META), "should have length 1"),
        (save(parts(), META)[:-2], "its header describes"),
        (save(parts(), META) + b"\0\0", "its header describes"),
    ],
)
def test_invalid_signature_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(IntegrityError, match=said):
        parse_signature(data, BASE, "it")


@pytest.mark.parametrize("change", [lambda d: d[:8] + b"[" + d[9:], lambda d: d[:-100]])
def test_damaged_signature_is_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(IntegrityError):
        parse_signature(change(signature(1).dumps()), BASE, "it")
