"""What a contestant has done so far, in a folder of its own: each part whole, with the digest of what it holds for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.formats.writing import replace_atomically


class Store:
    """Parts by name in ``folder``; one that was made for another digest is as good as absent."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder, self.digest = folder, digest
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> dict[str, Any] | None:
        """The part, or None."""
        path = self.folder / f"{name}.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(record, dict) or record.get("digest") != self.digest:
            return None
        value = record.get("value")
        return value if isinstance(value, dict) else None

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Keep a part: plain values."""
        with replace_atomically(self.folder / f"{name}.json", overwrite=True) as temporary:
            temporary.write_text(json.dumps({"digest": self.digest, "value": value}) + "\n", encoding="utf-8")

    def put_array(self, name: str, array: NDArray[np.float32]) -> None:
        """Keep an array; the part that speaks of it comes after."""
        with replace_atomically(self.folder / f"{name}.npy", overwrite=True) as temporary:
            np.save(temporary, array, allow_pickle=False)

    def array(self, name: str) -> NDArray[np.float32]:
        """An array that was kept; raises OSError or ValueError if it is not there, or broken."""
        return np.asarray(np.load(self.folder / f"{name}.npy", allow_pickle=False), np.float32)
