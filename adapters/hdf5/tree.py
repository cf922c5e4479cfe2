"""Datasets of an HDF5 file by their names, and the links of the file that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError

_MAX_VALUES = 1 << 24  # no list of angles or keys is longer
_LISTED = 8


class Tree:
    """An open HDF5 file, searched by names that may not exist.

    Attributes
    ----------
    broken
        Requested names whose link leads nowhere, with the target of the link.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.file, self.path = file, path
        self.broken: dict[str, str] = {}

    def get(self, name: str) -> Any:
        """Return the object of this name, or None; a link that leads nowhere is noted in ``broken``."""
        try:
            target = self.file.get(name)
        except (KeyError, OSError, RuntimeError, ValueError):
            target = None
        if target is None:
            self._note_broken_link(name)
        return target

    def dataset(self, name: str) -> h5py.Dataset | None:
        """Return the dataset of this name, or None."""
        target = self.get(name)
        return target if isinstance(target, h5py.Dataset) and target.shape is not None else None

    def group(self, name: str) -> h5py.Group | None:
        """Return the group of this name, or None."""
        target = self.get(name)
        return target if isinstance(target, h5py.Group) else None

    def first(self, *names: str) -> str | None:
        """Return the first of these names that is a dataset, or None."""
        return next((name for name in names if self.dataset(name) is not None), None)

    def values(self, name: str) -> NDArray[np.float64]:
        """Return all values of a small dataset, one-dimensional; FormatError for many, or other than numbers."""
        dataset = self.file[name]
        if dataset.size > _MAX_VALUES:
            raise FormatError(f"{self.path}: {name} has {dataset.size} values, which cannot be right")
        try:
            if dataset.dtype.kind == "c":
                raise ValueError(name)
            return np.asarray(dataset[()], dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise FormatError(f"{self.path}: {name} does not hold real numbers") from None

    def number(self, name: str) -> float | None:
        """Return the single finite number of a dataset, or None."""
        dataset = self.dataset(name)
        if dataset is None or dataset.size != 1 or dataset.dtype.kind not in "fiu":
            return None
        value = float(np.asarray(dataset[()]).reshape(-1)[0])
        return value if np.isfinite(value) else None

    def unit(self, name: str) -> str:
        """Return the attribute ``units`` (or ``unit``) of a dataset in lower case; empty if there is none."""
        attrs = self.file[name].attrs
        return next((attribute_text(attrs, key).strip().lower() for key in ("units", "unit", "angle_unit") if key in attrs), "")

    def datasets(self) -> Iterator[tuple[str, h5py.Dataset]]:
        """Yield all datasets with their names."""
        names: list[str] = []
        self.file.visit(names.append)
        for name in names:
            dataset = self.dataset(name)
            if dataset is not None:
                yield name, dataset

    def describe(self) -> str:
        """Return the first datasets with their shapes, and the links that lead nowhere, for a message."""
        names = [f"{name} {tuple(dataset.shape)}" for name, dataset in self.datasets()]
        listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "") if names else "no datasets"
        self._note_all_broken_links()
        return f"there are {listed}" + (f"; {self.describe_broken()}" if self.broken else "")

    def describe_broken(self) -> str:
        """Return one line about the links that lead nowhere."""
        links = [f"{name} to {target}" for name, target in self.broken.items()]
        return "broken links: " + ", ".join(links[:_LISTED]) + (", ..." if len(links) > _LISTED else "")

    def _note_broken_link(self, name: str) -> None:
        parts = name.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            prefix = "/".join(parts[:i])
            try:
                link = self.file.get(prefix, getlink=True)
            except (KeyError, OSError, RuntimeError, ValueError):
                return
            if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)):
                try:
                    resolved = self.file.get(prefix)
                except (KeyError, OSError, RuntimeError, ValueError):
                    resolved = None
                if resolved is None:
                    self.broken[prefix] = _target(link)
                    return
            elif link is None:
                return

    def _note_all_broken_links(self) -> None:
        names: list[str] = []

        def visit(name: str, link: Any) -> bool | None:
            if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)):
                names.append(name)
            return True if len(names) > 100 else None

        self.file.visititems_links(visit)
        for name in names:
            self._note_broken_link(name)


def attribute(attrs: Any, key: str) -> Any:
    """Return an attribute as plain Python values; None where NumPy has no type for it."""
    try:
        value = attrs[key]
    except Exception:  # h5py raises many types for attributes that it cannot convert
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def attribute_text(attrs: Any, key: str) -> str:
    """Return an attribute as text (the first, if there are several); empty if it is missing."""
    value = attribute(attrs, key) if key in attrs else None
    while isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _target(link: h5py.ExternalLink | h5py.SoftLink) -> str:
    return f"{link.filename}:{link.path}" if isinstance(link, h5py.ExternalLink) else str(link.path)
