"""The log of a training, with a row for each validation."""

from __future__ import annotations

import csv
from pathlib import Path

from tomoprior.storage.files import replace_atomically, reraise_disk_errors

COLUMNS = (
    "step", "minutes", "learning_rate", "loss", "validation_psnr", "linear_psnr", "inner", "linear_inner",
    "gain_0.2", "gain_0.4", "gain_0.8", "gain_1.6",
)  # fmt: skip


def write_log(rows: list[dict[str, float]], path: Path) -> None:
    """Write the rows as CSV; the file is whole or absent. Raises FormatError, for example on a full disk."""
    with (
        reraise_disk_errors(path),
        replace_atomically(path, overwrite=True) as temporary,
        open(temporary, "w", newline="", encoding="ascii") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
