"""Where settings come from, as sources of pydantic-settings: flags, the variables of an environment, and a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.sources.utils import parse_env_vars

from monitor.settings import Settings


class _Given(PydanticBaseSettingsSource):
    """Values that are already there."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One value, without conversion."""
        del field
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


class Variables(EnvSettingsSource):
    """The environment variables that were given, rather than those of this process."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._environ, self.case_sensitive, self.env_ignore_empty, self.env_parse_none_str)

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 as pydantic-settings has it
        """JSON, or else the text itself, which is then refused with its place like any other wrong value."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except (ValueError, RecursionError):
            return value


def sourced(
    base: type[Settings], flags: dict[str, Any], variables: dict[str, Any], file: dict[str, Any]
) -> type[Settings]:
    """The settings class that takes these values, the first over the second over the third."""

    class Sourced(base):  # type: ignore[valid-type,misc]  # made at run time, for the probes that were found
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], **_: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(_Given(settings_cls, values) for values in (flags, variables, file))

    return Sourced
