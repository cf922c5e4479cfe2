"""The JSON records of a run, of its slabs and of its volume: their schemas, and safe reading and writing.

A record may be damaged or come from someone else: its size is bounded, and its types are checked before they are used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tomoprior.errors import FormatError
from tomoprior.settings import first_fault
from tomoprior.storage.files import open_atomic, read_at_most
from tomoprior.storage.lazy import one_line

#: Largest record that is read, in bytes.
LARGEST = 64 << 20

#: Advice after an error of the disk.
RESUME_HINT = "; --resume continues from the finished slabs"

#: Version of the layout of ``run.json``.
VERSION = 1

Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """Base of all records: values have their JSON types, and unknown names are kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    def plain(self) -> dict[str, Any]:
        """Return the values that the file holds."""
        return self.model_dump(exclude_unset=True)


class PlanRecord(Record):
    """Rows of a slab, of its halo and of the blended border."""

    rows: Annotated[int, Field(ge=1)]
    halo: Count
    blend: Count


class RunRecord(Record):
    """``run.json``: the arguments of a run, and the names of its arrays once they are finished."""

    program: Literal["tomoprior"]
    version: Literal[1]
    discarded: bool = False
    finished: list[str] | None = None
    method: str = ""
    settings: dict[str, Any] = {}
    projector: dict[str, Any] = {}
    geometry: dict[str, Any] = {}
    seed: int = 0
    plan: PlanRecord | None = None


class SlabRecord(Record):
    """``slabs/NUMBER.json``: the rows of a finished slab, and how they were computed."""

    rows: Annotated[list[Count], Field(min_length=2, max_length=2)]
    residual: float | None = None
    settled: dict[str, Any] | None = None
    settings_from_pilot: dict[str, Any] | None = None
    input: str = ""
    device: str = ""
    host: str = ""
    process: int = 0
    seconds: float = 0.0
    provenance: dict[str, Any] = {}
    history: dict[str, Any] = {}


class VolumeRecord(Record):
    """``OUT.json``: the record of a volume; ``run`` is what ``run.json`` held."""

    run: RunRecord | None = None
    history: dict[str, Any] = {}


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    """Read a record.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it cannot be read, is too large, or is no such record: one line.
    """
    try:
        with path.open("rb") as file:
            text = read_at_most(file, LARGEST + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({one_line(error)})") from error
    if len(text) > LARGEST:
        raise FormatError(f"{path}: a record of more than {LARGEST >> 20} MiB")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise FormatError(f"{path}: not a record of tomoprior ({one_line(ValueError(first_fault(error)))})") from None


def write_record(path: Path, values: Mapping[str, Any]) -> None:
    """Write a record: the file appears whole, and is on the disk when this returns; raises FormatError if that fails."""
    with open_atomic(path, RESUME_HINT) as file:
        file.write((json.dumps(values, indent=1) + "\n").encode())
