"""Tilts that are blank, or whose image is that of another tilt: a shutter that stayed shut, a frame written twice."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Rows of an image that are compared: noise makes no two alike.
ROWS = 64
_LISTED = 8


class RepeatedImages:
    """Collect tilts one by one, and tell which are blank and which repeat an earlier one."""

    def __init__(self) -> None:
        self._blank: list[int] = []
        self._repeats: list[tuple[int, int]] = []
        self._places: dict[tuple[int, int], int] = {}

    def add(self, tilt: int, image: NDArray[Any], *, is_blank: bool) -> None:
        """Note a tilt all of whose pixels have one value (``is_blank``), or compare some rows with those of earlier tilts."""
        if is_blank:
            self._blank.append(tilt)
            return
        rows = np.ascontiguousarray(image[:: max(1, len(image) // ROWS)]).tobytes()
        key = zlib.crc32(rows), zlib.adler32(rows)
        earlier = self._places.setdefault(key, tilt)
        if earlier != tilt:
            self._repeats.append((tilt, earlier))

    def describe(self) -> list[str]:
        """Return lines for the user; none if every tilt has an image of its own."""
        lines = []
        if self._blank:
            lines.append(
                f"tilts {_list(map(str, self._blank))} are blank, all their pixels are equal; leave them out (--exclude)"
            )
        if self._repeats:
            pairs = _list(f"{tilt} (as {earlier})" for tilt, earlier in self._repeats)
            lines.append(
                f"tilts {pairs} have the same pixels as another tilt; if an image was written twice, leave it out (--exclude)"
            )
        return lines


def _list(texts: Any) -> str:
    listed = list(texts)
    return ", ".join(listed[:_LISTED]) + (", ..." if len(listed) > _LISTED else "")
