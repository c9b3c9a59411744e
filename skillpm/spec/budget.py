"""The size limit of `pack --budget`: a number of bytes, or a share of the dense delta."""

import re
from dataclasses import dataclass
from decimal import Decimal

from skillpm.errors import SpecError

_UNITS = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9,
    "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30,
}  # fmt: skip
_PERCENT = 100
"""The largest number without a unit that is probably meant as a percentage."""
_FORM = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]{0,3}|%)")


@dataclass(frozen=True)
class Budget:
    """The largest size of a pack file. Either `size` (bytes) or `share` (of the delta) is set.

    `text` is the budget as the user wrote it.
    """

    text: str
    size: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read `5%`, `80MB`, `4.5 MiB` or `1000B`. Raises `SpecError`."""
        match = _FORM.fullmatch(text.strip())
        unit = match[2].upper() if match else ""
        if not match or (unit != "%" and unit not in _UNITS):
            raise SpecError(
                f"invalid budget {text!r}: expected a form like `5%`, `80MB` or `1.5GiB`"
            )
        number = Decimal(match[1])
        if not number:
            raise SpecError(f"invalid budget {text!r}: expected more than 0")
        if unit == "%":
            return cls(text, share=float(number / 100))
        if not unit and number <= _PERCENT:
            raise SpecError(
                f"invalid budget {text!r}: a number without a unit is in bytes, and no pack is so "
                "small",
                hint=f"for a share of the delta: `--budget {match[1]}%`",
            )
        return cls(text, size=int(number * _UNITS[unit]))

    def bytes_of(self, dense: int) -> int:
        """The budget in bytes, for a dense delta of `dense` bytes."""
        return self.size if self.size is not None else int((self.share or 0.0) * dense)
