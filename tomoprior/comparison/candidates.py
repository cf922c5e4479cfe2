"""The methods that take part, with their settings. All names and values are checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tomoprior import methods, plugins
from tomoprior.errors import InputError, SettingsError
from tomoprior.methods.base import Method
from tomoprior.settings import Settings


@dataclass(frozen=True)
class Candidate:
    """A method with its settings.

    Attributes
    ----------
    label
        Its name in this comparison, which is unique.
    method, settings
        The method and its settings, as for ``tomoprior.reconstruct``.
    registered
        True if the registry finds the method by its name, so that another process can run it.
    set_by_user
        Names of the settings that the user has set; tuning does not change them.
    """

    label: str
    method: Method
    settings: Settings
    registered: bool = True
    set_by_user: frozenset[str] = frozenset()

    def with_values(self, values: Mapping[str, Any]) -> Candidate:
        """Return a copy with some settings changed; raises SettingsError."""
        return replace(self, settings=self.method.Settings.parse({**self.settings.model_dump(), **values}))


def make_candidates(names: Iterable[str | Method], settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[Candidate]:
    """Look up methods and settings by their names.

    Parameters
    ----------
    names
        Names that ``tomoprior.methods.available()`` lists, or method objects; ``label=name`` lets a method take part twice.
    settings
        By label, then by the setting's name.

    Raises
    ------
    UnknownNameError
        For a method that does not exist, with the nearest names.
    InputError
        If there is no method, or a label occurs twice.
    SettingsError
        For an unknown setting, or settings for a label that does not take part.
    """
    if isinstance(names, str):
        names = names.split(",")
    result: list[Candidate] = []
    left = {label: dict(values) for label, values in (settings or {}).items()}
    for item in names:
        if isinstance(item, str):
            label, _, name = item.strip().rpartition("=")
            method, registered = methods.get(name.strip()), True
            label = label.strip() or name.strip()
        else:
            method, registered, label = item, False, item.name
        if any(c.label == label for c in result):
            raise InputError(f"{label} is named twice; give one of them a name of its own, such as {label}2={method.name}")
        if not label.replace(".", "").replace("_", "").replace("-", "").isalnum():
            raise InputError(f"a method's name in a comparison has letters, digits and ._- only, got {label!r}")
        values = left.pop(label, {})
        try:
            parsed = method.Settings.parse(values)
        except SettingsError as error:
            raise SettingsError(f"{label}: {error}") from None
        result.append(Candidate(label, method, parsed, registered, frozenset(values)))
    if not result:
        raise InputError("there is no method to compare")
    if left:
        raise SettingsError(
            str(plugins.unknown_name_error("method in this comparison", next(iter(left)), [c.label for c in result]))
        )
    return result


def split_settings(values: Mapping[str, Any], labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Group settings by label: ``{"cn.num_iter": 200}`` becomes ``{"cn": {"num_iter": 200}}``.

    A label may contain dots (``astra.SIRT.num_iter``). A setting without a label (``num_iter``) raises SettingsError.
    """
    known = sorted(labels, key=len, reverse=True)
    result: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        label = next((label for label in known if name.startswith(f"{label}.")), None)
        if label is None:
            raise SettingsError(f"--set takes METHOD.NAME=VALUE of a method that takes part ({', '.join(known)}), got {name!r}")
        result.setdefault(label, {})[name[len(label) + 1 :]] = value
    return result
