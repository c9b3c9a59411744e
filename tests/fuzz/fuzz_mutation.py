"""Inputs close to valid ones: seeds that are altered according to their structure."""

import json
import struct
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, -0.0, 1e308, 5e-324, 2**31, 2**63, -(2**63), 2**64, 10**400,
    10**4000, "", " ", "0", "a/b", "acme/x", "1.0.0", "^1", "../x", "/etc/passwd", "a\x00b",
    "\x1b[2J", "\u202e", "\ud800", "é", "x" * 300, "9" * 5000, "sha256:" + "0" * 64, "sha256:x",
    "2026-01-31T12:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "file:///x",
    "https://u:p@h/x", "NaN", "Infinity", "config.json", "__class__", "lossless", "BF16", "F4",
    [], {}, [[]], [None], {"": None}, [0] * 300, {"a": {"a": {"a": []}}},
)  # fmt: skip
TOKENS = (
    b"0x" + b"f" * 20_000,
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000, b"null", b"true", b"{", b"}", b"[",
    b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\xef\xbb\xbf", b"\x00", b"\r\n",
    b"\x1b", b"[[", b"]]", b"=", b"'''", b'"""', b"#", b",", b":", b".", b"1979-05-27T07:32:00Z",
    b"0x", b"inf", b"nan", b"<<<<<<< a\n", b"=======\n", b">>>>>>> b\n", b"[" * 200, b"a." * 200,
    b"^", b"~", b">=", b"<", b"*", b"-", b"+", b"@", b"/", b"%00", b"?", b"&", b"||",
    b"\xe2\x80\xae", b"\xc2\x85",
)  # fmt: skip


def mutated(seed: bytes, random: Random) -> bytes:
    """One input from a seed: JSON by its nodes, a safetensors file by its header, else bytes."""
    roll = random.random()
    if roll < 0.02:
        return seed
    if roll < 0.75:
        if seed[:1] in b"{[":
            return _json(seed, random)
        if _is_safetensors(seed):
            return _safetensors(seed, random)
    return _bytes(seed, random)


def _is_safetensors(seed: bytes) -> bool:
    return len(seed) > 10 and seed[8:9] == b"{" and struct.unpack("<Q", seed[:8])[0] <= len(seed)


def _json(seed: bytes, random: Random) -> bytes:
    lines = seed.split(b"\n")
    place = random.randrange(len(lines))
    try:
        plain = json.loads(seed)
    except ValueError:
        try:
            plain = json.loads(lines[place])
        except ValueError:
            return _bytes(seed, random)
        lines[place] = _written(_altered(plain, random), random)
        return b"\n".join(lines)
    return _written(_altered(plain, random), random)


def _written(plain: Any, random: Random) -> bytes:
    text = json.dumps(plain, ensure_ascii=random.random() < 0.7)
    data = text.encode("utf-8", "surrogatepass")
    if random.random() < 0.05:
        data = data.replace(b", ", b', "a": 0, "a": 1, ', 1)
    return _bytes(data, random) if random.random() < 0.1 else data


def _altered(plain: Any, random: Random) -> Any:
    plain = deepcopy(plain)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        places = list(_places(plain))
        if not places:
            return random.choice(HOSTILE)
        holder, key = random.choice(places)
        _alter(holder, key, places, random)
    return plain


def _alter(holder: Any, key: Any, places: list[tuple[Any, Any]], random: Random) -> None:
    kind = random.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[str(random.choice(HOSTILE))[:5000]] = holder[key]
    elif kind == 2:
        other, name = random.choice(places)
        holder[key] = deepcopy(other.get(name) if isinstance(other, dict) else None)
    elif kind == 3 and isinstance(holder[key], int | float):
        holder[key] = holder[key] * random.choice((-1, 2, 1000, 2**40)) + random.choice((0, 1, -1))
    elif kind == 4 and isinstance(holder[key], str):
        text = holder[key]
        cut = random.randrange(len(text) + 1)
        holder[key] = text[:cut] + str(random.choice(HOSTILE))[:400] + text[cut:]
    elif kind == 5 and isinstance(holder[key], list) and holder[key]:
        holder[key] = holder[key] * random.choice((2, 50))
    else:
        holder[key] = deepcopy(random.choice(HOSTILE))


def _places(plain: Any) -> Iterator[tuple[Any, Any]]:
    pending = [plain]
    while pending:
        node = pending.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys if isinstance(node, dict | list) else ():
            yield node, key
            if isinstance(node[key], dict | list):
                pending.append(node[key])


def _safetensors(seed: bytes, random: Random) -> bytes:
    length = struct.unpack("<Q", seed[:8])[0]
    head, body = seed[8 : 8 + length], seed[8 + length :]
    roll = random.random()
    if roll < 0.4:
        return seed[: 8 + length] + _bytes(body, random)
    head = _record(head, random) if roll < 0.8 else _json(head, random)
    right = random.random() < 0.9
    claimed = len(head) if right else random.choice((0, 1, 2**63, len(head) + 1, 2**32))
    return struct.pack("<Q", claimed) + head + body


def _record(head: bytes, random: Random) -> bytes:
    plain = json.loads(head)
    records = plain.get("__metadata__")
    if isinstance(records, dict) and records:
        name = random.choice(list(records))
        text = records[name].encode()
        changed = _json(text, random) if text[:1] == b"{" else _bytes(text, random)
        records[name] = changed.decode("utf-8", "replace")
    return json.dumps(plain).encode()


def _bytes(seed: bytes, random: Random) -> bytes:
    data = bytearray(seed)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at = random.randrange(len(data) + 1)
        kind = random.randrange(6)
        if kind == 0:
            data[at : at + 1] = bytes([random.randrange(256)])
        elif kind == 1:
            del data[at : at + random.choice((1, 2, 8, 64))]
        elif kind == 2:
            data[at:at] = random.choice(TOKENS)
        elif kind == 3:
            start = random.randrange(len(data) + 1)
            data[at:at] = data[start : start + random.choice((1, 8, 64, 512))]
        elif kind == 4 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        else:
            data[at : at + 8] = struct.pack("<Q", random.choice((0, 1, 2**31, 2**63, 2**64 - 1)))
    return bytes(data)
