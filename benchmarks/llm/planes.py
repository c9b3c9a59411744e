"""The rival in a few lines: byte planes of the ordered difference, each in a zstd frame of level 3.

`python -m benchmarks.llm.planes pack BASE TUNED FILE` and `… back BASE FILE OUT` work on the files
`model.safetensors` of the folders. `back` syncs what it writes, as `graft` does. No content is
verified.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zstandard

from benchmarks.llm.places import WEIGHTS

LEVEL = 3
WORD = np.dtype("<u2")
_SIGN = np.uint16(0x8000)
Words = npt.NDArray[np.uint16]


def ordered(words: Words) -> Words:
    """bf16 bit patterns as integers in the order of the numbers."""
    return words ^ (_filled(words) | _SIGN)


def unordered(words: Words) -> Words:
    """The inverse of `ordered`."""
    return words ^ (_filled(~words) | _SIGN)


def _filled(words: Words) -> Words:
    """All bits equal to the sign bit."""
    return (words.view("<i2") >> 15).view(WORD)


def read(folder: Path) -> tuple[bytes, Words]:
    """The header of a checkpoint, and all its bf16 words."""
    data = (folder / WEIGHTS).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    return data[:start], np.frombuffer(data, WORD, offset=start)


def pack(base: Path, tuned: Path, file: Path) -> None:
    """Write the two planes of the zigzag difference, low bytes first, each after its length."""
    header, after = read(tuned)
    change = (ordered(after) - ordered(read(base)[1])).view("<i2")
    folded = ((change << 1) ^ (change >> 15)).view(WORD)
    compress = zstandard.ZstdCompressor(level=LEVEL).compress
    with file.open("wb") as out:
        for part in (header, folded.astype(np.uint8), (folded >> 8).astype(np.uint8)):
            frame = compress(part.data if isinstance(part, np.ndarray) else part)
            out.write(len(frame).to_bytes(8, "little") + frame)
        out.flush()
        os.fsync(out.fileno())


def back(base: Path, file: Path, out: Path) -> None:
    """Write the tuned checkpoint again."""
    _, before = read(base)
    data, parts, start = file.read_bytes(), [], 0
    while start < len(data):
        stop = start + 8 + int.from_bytes(data[start : start + 8], "little")
        parts.append(zstandard.ZstdDecompressor().decompress(data[start + 8 : stop]))
        start = stop
    header, low, high = parts
    folded = np.frombuffer(high, np.uint8).astype(WORD) << 8 | np.frombuffer(low, np.uint8)
    change = (folded >> 1) ^ -(folded & 1)
    out.mkdir(parents=True)
    with (out / WEIGHTS).open("wb") as target:
        target.write(header)
        target.write(unordered(ordered(before) + change).data)
        target.flush()
        os.fsync(target.fileno())


def main() -> None:
    match sys.argv[1:]:
        case ["pack", base, tuned, file]:
            pack(Path(base), Path(tuned), Path(file))
        case ["back", base, file, out]:
            back(Path(base), Path(file), Path(out))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
