"""Tilts of the stage in a Velox file, which keeps a JSON text for each frame."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

_MAX_BYTES = 64 << 20


def stage_tilts(path: Path, n: int) -> NDArray[np.float64] | None:
    """Return ``Stage.AlphaTilt`` of ``n`` frames in radians; None if one stack of images alone does not have them all."""
    try:
        with h5py.File(path, "r") as file:
            stacks = [group for group in file["Data/Image"].values() if "Data" in group and group["Data"].shape[-1] == n]
            if len(stacks) != 1:
                return None
            texts = stacks[0]["Metadata"]
            if texts.ndim != 2 or texts.shape[1] != n or texts.size > _MAX_BYTES:
                return None
            columns = np.asarray(texts[()], np.uint8)
            return np.array([_tilt(columns[:, i].tobytes()) for i in range(n)])
    except Exception:  # the metadata of another version; the images are good all the same
        return None


def _tilt(text: bytes) -> float:
    return float(json.loads(text.rstrip(b"\0 \n"))["Stage"]["AlphaTilt"])
