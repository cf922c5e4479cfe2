"""Typed settings of methods, phantoms and training: parsed from Python values or text, with errors of one line."""

from __future__ import annotations

import inspect
import textwrap
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from tomoprior import plugins
from tomoprior.errors import SettingsError


def first_fault(error: ValidationError) -> str:
    """Return the first fault of a validation, without the value that is wrong: ``place: message``."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"][:8])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


class Settings(BaseModel):
    """Base of every method's settings: unknown names are refused, and a value cannot be changed afterwards.

    The fields and their descriptions become the parameters in a subclass's docstring.

    Attributes
    ----------
    renamed
        Old names of settings with their current ones; an old name works with a DeprecationWarning.
    fast
        Values that make the method as fast as it is useful, at the cost of choices by the data; for ``fast=True`` and
        ``--fast``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    renamed: ClassVar[dict[str, str]] = {}
    fast: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Describe the fields in the class's docstring."""
        super().__pydantic_init_subclass__(**kwargs)
        summary = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("\nParameters\n---")[0].rstrip()
        cls.__doc__ = f"{summary}\n\nParameters\n----------\n{describe_fields(cls.model_fields)}"

    @classmethod
    def fields_by_group(cls) -> dict[str, dict[str, FieldInfo]]:
        """Return all fields by the condition under which they exist; the condition is empty for those that always do."""
        return {"": dict(cls.model_fields)}

    @classmethod
    def with_current_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace old names of settings by current ones, with a DeprecationWarning; raises SettingsError if both are given."""
        current: dict[str, Any] = {}
        for name, value in values.items():
            new = cls.renamed.get(name, name)
            if new in current or (new != name and new in values):
                raise SettingsError(f"{name} is the old name of {new}, and both are given; give {new}")
            if new != name:
                warnings.warn(f"setting {name} is now called {new}; the old name works for one release", DeprecationWarning, 3)
            current[new] = value
        return current

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, values: Any) -> Any:
        return cls.with_current_names(values) if isinstance(values, dict) else values

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Return settings from names and values; text is converted. Raises SettingsError with one line.

        Values are checked as Python users and the command line give them: ``"20"`` for a number is fine.
        """
        values = cls.with_current_names(values)
        known = list(cls.model_fields)
        for name in values:
            if name not in known:
                raise SettingsError(str(plugins.unknown_name_error("setting", name, known)))
        try:
            return cls.model_validate({k: _plain(v, cls.model_fields[k].annotation) for k, v in values.items()})
        except ValidationError as error:
            first = error.errors()[0]
            where = str(first["loc"][0]) if first["loc"] else "settings"
            # a setting that accepts a number or a word fails for both reasons
            reasons = dict.fromkeys(e["msg"].lower() for e in error.errors() if e["loc"][:1] == first["loc"][:1])
            raise SettingsError(f"{where}: {', or '.join(reasons)}; got {first['input']!r}") from None

    @classmethod
    def resolve(cls, settings: Self | None, values: dict[str, Any]) -> Self:
        """Return ``settings``, or settings from ``values`` if it is None; raises SettingsError if both are present."""
        if settings is None:
            return cls.parse(values)
        if values:
            raise SettingsError(f"settings are given as an object and one by one ({', '.join(values)}); give one")
        return settings


def describe_fields(fields: Mapping[str, FieldInfo]) -> str:
    """Return fields with their descriptions and defaults, as the parameters of a docstring."""
    lines = []
    for name, field in fields.items():
        text = f"{field.description or ''} Default: {field.default!r}.".strip()
        lines += [name, textwrap.indent(textwrap.fill(text, 100, break_on_hyphens=False), "    ")]
    return "\n".join(lines)


def document_settings(method: type) -> type:
    """Add the settings of a method, ``method.Settings``, to its docstring. A class decorator."""
    lines = [inspect.cleandoc(method.__doc__ or "")]
    for condition, fields in method.Settings.fields_by_group().items():  # type: ignore[attr-defined]
        heading = f"Settings with {condition}" if condition else "Settings"
        lines += ["", heading, "-" * len(heading), describe_fields(fields)]
    method.__doc__ = "\n".join(lines)
    return method


def _plain(value: Any, annotation: Any) -> Any:
    """Convert the text ``none`` to None where the setting admits None; elsewhere it may be a word with its own meaning."""
    if isinstance(value, str) and value.lower() in ("none", "null") and type(None) in get_args(annotation):
        return None
    return value
