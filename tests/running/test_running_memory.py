"""The dtype of a model loaded for calibration."""

import pytest
import torch

from skillpm.running.folder import dtype_for

GIB = 1 << 30


@pytest.mark.parametrize(
    ("stored", "size", "memory", "expected"),
    [
        (torch.bfloat16, 1 * GIB, 24 * GIB, torch.float32),
        (torch.bfloat16, 16 * GIB, 24 * GIB, torch.bfloat16),
        (torch.float16, 16 * GIB, 128 * GIB, torch.float32),
        (torch.float32, 32 * GIB, 24 * GIB, torch.float32),
        (None, 32 * GIB, 24 * GIB, torch.float32),
    ],
)
def test_dtype_for_is_float32_if_it_fits_into_half_of_the_memory(
    stored: torch.dtype | None, size: int, memory: int, expected: torch.dtype
) -> None:
    assert dtype_for(stored, size, memory) == expected
