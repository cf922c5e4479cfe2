"""Who takes part: names of methods and their settings, as objects, all checked before any work."""

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
        Its name here, which no other has.
    method, settings
        As ``tomoprior.reconstruct`` takes them.
    registered
        True if the registry gives the same method by its name, so that another process can run it.
    given
        Settings that the user has given: tuning leaves them alone.
    """

    label: str
    method: Method
    settings: Settings
    registered: bool = True
    given: frozenset[str] = frozenset()

    def with_values(self, values: Mapping[str, Any]) -> Candidate:
        """The same with some settings changed; raises SettingsError."""
        return replace(self, settings=self.method.Settings.parse({**self.settings.model_dump(), **values}))


def make_candidates(chosen: Iterable[str | Method], settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[Candidate]:
    """Methods and settings looked up.

    Parameters
    ----------
    chosen
        Names that ``tomoprior.methods.available()`` lists, or method objects; ``label=name`` lets a method take part twice.
    settings
        By label, then by the setting's name.

    Raises
    ------
    UnknownNameError
        For a method that does not exist, with the nearest names.
    InputError
        For no method at all, or one label twice.
    SettingsError
        For a setting that a method does not have, or settings of a label that does not take part.
    """
    if isinstance(chosen, str):
        chosen = chosen.split(",")
    found: list[Candidate] = []
    wanted = {label: dict(values) for label, values in (settings or {}).items()}
    for one in chosen:
        if isinstance(one, str):
            label, _, name = one.strip().rpartition("=")
            method, registered = methods.get(name.strip()), True
            label = label.strip() or name.strip()
        else:
            method, registered, label = one, False, one.name
        if any(c.label == label for c in found):
            raise InputError(f"{label} is named twice; give one of them a name of its own, such as {label}2={method.name}")
        if not label.replace(".", "").replace("_", "").replace("-", "").isalnum():
            raise InputError(f"a method's name in a comparison has letters, digits and ._- only, got {label!r}")
        values = wanted.pop(label, {})
        try:
            parsed = method.Settings.parse(values)
        except SettingsError as error:
            raise SettingsError(f"{label}: {error}") from None
        found.append(Candidate(label, method, parsed, registered, frozenset(values)))
    if not found:
        raise InputError("there is no method to compare")
    if wanted:
        raise SettingsError(
            str(plugins.unknown_name_error("method in this comparison", next(iter(wanted)), [c.label for c in found]))
        )
    return found


def split_settings(values: Mapping[str, Any], labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """``{"cn.num_iter": 200}`` by label: ``{"cn": {"num_iter": 200}}``.

    A label may have dots in it (``astra.SIRT.num_iter``). A setting without a label (``num_iter``) is refused: SettingsError.
    """
    known = sorted(labels, key=len, reverse=True)
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        label = next((one for one in known if name.startswith(f"{one}.")), None)
        if label is None:
            raise SettingsError(f"--set takes METHOD.NAME=VALUE of a method that takes part ({', '.join(known)}), got {name!r}")
        found.setdefault(label, {})[name[len(label) + 1 :]] = value
    return found
