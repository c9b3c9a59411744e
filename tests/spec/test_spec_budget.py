"""`--budget`: a size with a unit, or a share of the delta."""

import pytest

from skillpm.errors import SpecError
from skillpm.spec.budget import Budget


@pytest.mark.parametrize(
    ("text", "size"), [("80MB", 80_000_000), ("1.5 KiB", 1536), ("20000", 20_000), ("7B", 7)]
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert Budget.parse(text).bytes_of(10) == size


def test_a_percentage_is_a_share_of_the_dense_delta() -> None:
    assert Budget.parse("5%").bytes_of(1000) == 50


@pytest.mark.parametrize("text", ["5", "0.5", "100"])
def test_a_small_number_without_a_unit_is_refused_with_the_percentage(text: str) -> None:
    with pytest.raises(SpecError, match="without a unit") as caught:
        Budget.parse(text)
    assert caught.value.hint == f"for a share of the delta: `--budget {text}%`"


@pytest.mark.parametrize("text", ["", "0", "0%", "5 percent", "-1MB", "5TB"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="invalid budget"):
        Budget.parse(text)
