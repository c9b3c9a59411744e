"""The time of a decomposition is measured by the way that the scheme takes."""

import pytest
import torch

from skillpm.delta.auto import decomposition_speed
from skillpm.delta.auto.decomposition_speed import spectrum_seconds, svd_seconds


@pytest.mark.parametrize("shape", [(48, 32), (32, 48), (1, 8)])
@pytest.mark.parametrize("direct", [0, 1 << 25])
def test_both_ways_are_timed_without_a_change_of_threads(
    shape: tuple[int, int], direct: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decomposition_speed, "DIRECT", direct)
    threads = torch.get_num_threads()
    assert svd_seconds(*shape) > 0
    assert spectrum_seconds(*shape) > 0
    assert torch.get_num_threads() == threads
