"""Arrays with plain values in one safetensors file, which holds no code and runs none when it is read.

The header of a file is untrusted. It is checked against the size of the file before any array is allocated.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from tomoprior.errors import FormatError, NoSuchFileError
from tomoprior.storage.files import check_target, replace_atomically, reraise_disk_errors
from tomoprior.storage.lazy import one_line
from tomoprior.storage.records import parse_json

#: Largest header in bytes: the limit of the safetensors library.
HEADER_LIMIT = 100_000_000
#: Most axes of an array. Weights of networks have five.
MAX_AXES = 8
#: Bytes per value of the types that are read.
_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}


def save_tensors(path: Path, key: str, values: dict[str, Any], arrays: dict[str, torch.Tensor], *, overwrite: bool) -> None:
    """Write ``arrays``, and ``values`` as JSON under ``key`` of the header; the file is whole or absent.

    Raises
    ------
    OutputExistsError, FormatError
        As ``storage.files.replace_atomically``, and if the disk refuses the data.
    """
    from safetensors.torch import save

    check_target(path, overwrite=overwrite)
    packed = save({k: v.detach().cpu().contiguous() for k, v in arrays.items()}, {key: json.dumps(values)})
    with reraise_disk_errors(path), replace_atomically(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(packed)  # save_file would give a file that other users cannot read, in spite of the umask


def load_tensors(
    path: Path, key: str, kind: str = "a file saved by tomoprior", hint: str = ""
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the values and arrays that ``save_tensors`` wrote under ``key``; the arrays are copies in memory.

    Parameters
    ----------
    path, key
        As for ``save_tensors``.
    kind, hint
        For the error: ``<path>: not <kind> (<reason>)<hint>``.

    Raises
    ------
    NoSuchFileError
        If the file does not exist.
    FormatError
        If it cannot be read or is not such a file. The message is one line.
    """
    from safetensors import SafetensorError, safe_open

    try:
        values = parse_json(read_header(path, key)[0])
        with safe_open(str(path), "pt") as file:
            # the library may return a map of the file, so that each array is copied
            return values, {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise NoSuchFileError(f"{path}: no such file") from error
    except (SafetensorError, ValueError, OSError) as error:
        raise FormatError(f"{path}: not {kind} ({one_line(error)}){hint}") from error


def read_header(path: Path, key: str) -> tuple[str, dict[str, tuple[tuple[int, ...], str]]]:
    """Return the text under ``key`` of a header, and shape and type of each array, after a check of the whole header.

    Parameters
    ----------
    path, key
        As for ``load_tensors``. No array is read.

    Returns
    -------
    text
        JSON of the values, not parsed.
    arrays
        ``(shape, type)`` by name; a type is ``F32``, ``BF16``, ``I64``, ...

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        For the first fault of the header, on one line.
    """
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")  # a pipe would wait for a writer
    with path.open("rb") as file:
        size = path.stat().st_size - 8
        length = int.from_bytes(file.read(8), "little")
        if size < 0 or length > min(size, HEADER_LIMIT):
            raise ValueError(f"its header claims {length} bytes and the file has {max(size, 0)} after the length")
        header = parse_json(file.read(length), unique=True)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("the metadata of its header are not texts")
    _check_layout({name: _check_entry(name, entry) for name, entry in header.items()}, size - length)
    if key not in metadata:
        raise ValueError(f"its header has no {key}")
    return metadata[key], {name: (tuple(entry["shape"]), entry["dtype"]) for name, entry in header.items()}


def _check_entry(name: str, entry: Any) -> tuple[int, int]:
    """Return the first byte of an array and the byte after its last; raises ValueError."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name[:40]!r} is not dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise ValueError(f"{name[:40]!r} has the type {dtype!r}, which is not read")
    if not _are_counts(shape) or len(shape) > MAX_AXES or math.prod(n or 1 for n in shape) >= 2**62:
        raise ValueError(f"{name[:40]!r} has the shape {shape!r}")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{name[:40]!r} has the offsets {offsets!r}")
    if math.prod(shape) * _SIZES[dtype] != offsets[1] - offsets[0]:
        raise ValueError(f"{name[:40]!r} of {dtype} {shape!r} does not fit its offsets {offsets!r}")
    return offsets[0], offsets[1]


def _check_layout(spans: dict[str, tuple[int, int]], size: int) -> None:
    """Check that the arrays fill the data of ``size`` bytes without gap or overlap; raises ValueError."""
    end = 0
    for start, stop in sorted(spans.values()):
        if start != end:
            raise ValueError(f"an array starts at byte {start} of the data and not at {end}")
        end = stop
    if end != size:
        raise ValueError(f"its arrays take {end} bytes and the file has {size}")


def _are_counts(values: Any) -> bool:
    """Return whether ``values`` is a list of whole numbers from 0 (``bool`` is none)."""
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
