"""Arrays with plain values in one safetensors file: no code is kept in it, and none is run when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tomoprior.storage.files import check_target, replace_atomically, reraise_disk_errors
from tomoprior.storage.lazy import one_line


def save_tensors(path: Path, key: str, values: dict[str, Any], arrays: dict[str, torch.Tensor], *, overwrite: bool) -> None:
    """Write ``arrays`` and, as JSON under ``key`` of the header, ``values``; whole or not at all.

    Raises
    ------
    OutputExistsError, FormatError
        As ``formats.files.replacing``, and if the disk does not take it.
    """
    from safetensors.torch import save

    check_target(path, overwrite=overwrite)
    packed = save({k: v.detach().cpu().contiguous() for k, v in arrays.items()}, {key: json.dumps(values)})
    with reraise_disk_errors(path), replace_atomically(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(packed)  # save_file would keep others from reading it, whatever the umask


def load_tensors(path: Path, key: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Values and arrays that ``save_tensors`` wrote under ``key``; the arrays are copies in memory.

    Raises
    ------
    FileNotFoundError, OSError
        If it cannot be read.
    ValueError
        If it is no such file; one line that says why.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            if key not in header:
                raise ValueError(f"its header has no {key}")
            # what a file gives may be a map of it
            return json.loads(header[key]), {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(one_line(error)) from error
