"""Load a saved field."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from tomoprior.errors import FormatError
from tomoprior.methods.cn.field import KEY, Field
from tomoprior.methods.cn.network import NetworkField
from tomoprior.methods.cn.spline import SplineField
from tomoprior.settings import first_fault
from tomoprior.storage.lazy import one_line
from tomoprior.storage.tensors import load_tensors

#: The classes of fields, by the kind that the file's header names.
KINDS: dict[str, type[Field]] = {SplineField.kind: SplineField, NetworkField.kind: NetworkField}


def load_field(path: str | Path) -> Field:
    """Load the field that ``Field.save`` wrote.

    Parameters
    ----------
    path
        A ``.safetensors`` file.

    Returns
    -------
    Field
        On the CPU. ``field(points)`` is the density per voxel at ``(..., 3)`` positions z, y, x in voxels.

    Raises
    ------
    FormatError
        If the file does not exist, holds no field, or comes from a later version.
    """
    try:
        values, arrays = load_tensors(Path(path), KEY, "a field saved by tomoprior")
        return KINDS[values.pop("kind")].from_state(arrays, values)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        reason = ValueError(first_fault(error)) if isinstance(error, ValidationError) else error
        raise FormatError(f"{path}: not a field saved by tomoprior ({one_line(reason)})") from error
