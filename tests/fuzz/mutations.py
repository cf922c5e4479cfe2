"""Changes that damage a file: of bytes, of texts, of JSON, and of the JSON in the header of a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

#: Values that a header would not hold.
WEIRD: list[Any] = [
    None, True, -1, 0, 1, 2**31 - 1, -(2**31), 2**32, 2**63, 2**64, 10**30, -0.5, 1e-310, 1e308, float("nan"), float("inf"),
    -float("inf"), "", "nan", "0", "-1", "\x00", "\x1b[31m", "é" * 40, "x" * 5000, [], [[]], {}, {"": {}}, [0] * 1000, [-1, 2],
]  # fmt: skip

#: Words that replace a number in a text.
WORDS = [
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    "0",
    "9" * 400,
    "1e308",
    "0x10",
    "1_0",
    "\u0661",
    "",
    "--",
    "x",
    "1,5",
    "\x00",
    "\r",
]


def mutate(content: bytes, chance: Random) -> bytes:
    """Return a damaged copy; the kind of damage depends on what the content is."""
    ways: list[Callable[[bytes, Random], bytes]] = [_change_bytes]
    if _is_safetensors(content):
        ways += [_change_safetensors] * 3
    elif content[:1] in (b"{", b"[") and _parsed(content) is not None:
        ways += [_change_json] * 3
    elif _is_text(content):
        ways += [_change_text] * 3
    return chance.choice(ways)(content, chance)


def _change_bytes(content: bytes, chance: Random) -> bytes:
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        # headers stand at the start: half of the changes go there
        at = chance.randrange(max(1, len(out) if chance.random() < 0.5 else min(len(out), 1100)))
        width = chance.choice((1, 1, 2, 4, 8))
        number = chance.choice((0, 1, 2, 255, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), chance.randrange(2 ** (8 * width))))
        new = (number % 2 ** (8 * width)).to_bytes(width, chance.choice(("little", "big")))
        match chance.randrange(8):
            case 0 | 1 | 2:
                out[at : at + width] = new
            case 3 | 4 if out:
                out[min(at, len(out) - 1)] ^= 1 << chance.randrange(8)
            case 5:
                del out[at : at + chance.choice((1, 4, 64, len(out)))]
            case 6:
                out[at:at] = chance.choice((new, bytes(chance.randrange(64)), out[at : at + 64]))
            case _:
                other = chance.randrange(max(1, len(out)))
                out[at : at + width] = out[other : other + width]
    return bytes(out)


def _change_text(content: bytes, chance: Random) -> bytes:
    lines = content.decode("utf-8", "replace").split("\n")
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(lines)) if lines else 0
        words = lines[at].split(" ") if lines else [""]
        match chance.randrange(6):
            case 0 | 1 | 2:
                words[chance.randrange(len(words))] = chance.choice(WORDS)
                lines[at : at + 1] = [" ".join(words)]
            case 3:
                del lines[at : at + 1]
            case 4:
                lines.insert(at, chance.choice(lines or [""]) + chance.choice(WORDS))
            case _ if lines:
                lines[at] = lines[at].replace(chance.choice(" ,=_"), chance.choice(["\t", ";", "", "=", ","]))
            case _:
                pass
    return "\n".join(lines).encode(chance.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-16-le")), "surrogatepass")


def _change_json(content: bytes, chance: Random) -> bytes:
    value = _parsed(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        value = _change_value(value, chance)
    text = json.dumps(value)
    if chance.random() < 0.02:
        text = text.replace("0", "[" * 100_000, 1)
    return text.encode("utf-8", "surrogatepass")


def _change_safetensors(content: bytes, chance: Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = _parsed(content[8 : 8 + length])
    assert isinstance(header, dict)
    metadata = header.get("__metadata__") or {}
    if metadata and chance.random() < 0.7:
        name = chance.choice(sorted(metadata))
        metadata[name] = _change_json(metadata[name].encode(), chance).decode("utf-8", "replace")
    else:
        header = _change_value(header, chance)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _change_value(value: Any, chance: Random) -> Any:
    """Return plain values with one of them replaced, removed, doubled or nested; the given ones may change too."""
    places: list[tuple[Any, Any]] = []
    parents = [value]
    while parents:
        parent = parents.pop()
        if isinstance(parent, dict | list):
            keys = list(parent) if isinstance(parent, dict) else range(len(parent))
            places += [(parent, key) for key in keys]
            parents += [parent[key] for key in keys]
    if not places:
        return deepcopy(chance.choice(WEIRD))
    parent, key = chance.choice(places)
    match chance.randrange(6):
        case 0 | 1 | 2:
            parent[key] = deepcopy(chance.choice(WEIRD))
        case 3:
            del parent[key]
        case 4 if isinstance(parent, dict):
            parent[f"{key}{chance.choice(WORDS)}"] = parent[key]
        case 4:
            parent.insert(key, parent[key])
        case _:
            parent[key] = [parent[key]]
    return value


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _is_safetensors(content: bytes) -> bool:
    return content[8:9] == b"{" and isinstance(_parsed(content[8 : 8 + int.from_bytes(content[:8], "little")]), dict)


def _is_text(content: bytes) -> bool:
    return bool(content) and all(9 <= byte < 127 or byte > 160 for byte in content[:512])
