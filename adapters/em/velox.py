"""Tilts of the stage in a Velox file, which keeps a JSON text for each frame."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

_MAX_BYTES = 64 << 20


def stage_tilts(path: Path, place: int, n: int) -> NDArray[np.float64] | None:
    """Return ``Stage.AlphaTilt`` of the ``n`` frames of a stack of images in radians; None if not all frames have it.

    Parameters
    ----------
    path
        The file.
    place
        Number of the stack in the order of the file, which is that of RosettaSciIO: a file has one for each detector.
    n
        Number of frames.
    """
    try:
        with h5py.File(path, "r") as file:
            stack = list(file["Data/Image"].values())[place]
            texts = stack["Metadata"]
            if stack["Data"].shape[-1] != n or texts.ndim != 2 or texts.shape[1] != n or texts.size > _MAX_BYTES:
                return None
            columns = np.asarray(texts[()], np.uint8)
            return np.array([_tilt(columns[:, i].tobytes()) for i in range(n)])
    except Exception:  # the metadata of another version; the images are good all the same
        return None


def _tilt(text: bytes) -> float:
    return float(json.loads(text.rstrip(b"\0 \n"))["Stage"]["AlphaTilt"])
