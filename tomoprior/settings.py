"""Typed settings of methods, phantoms and training: parsed from Python values or text, with errors of one line."""

from __future__ import annotations

from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from tomoprior import plugins
from tomoprior.errors import SettingsError


class Settings(BaseModel):
    """Base of every method's settings: unknown names are refused, and a value cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Settings from names and values (text is converted); raises SettingsError, one line.

        Values are checked as Python users and the command line give them: ``"20"`` for a number is fine.
        """
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


def _plain(value: Any, annotation: Any) -> Any:
    """``none`` as text is no value where there can be none; elsewhere it may be a word of its own, such as a filter's name."""
    if isinstance(value, str) and value.lower() in ("none", "null") and type(None) in get_args(annotation):
        return None
    return value
