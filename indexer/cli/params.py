"""Click parameter types: byte sizes and durations."""

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    pass


class ByteSize(click.ParamType):  # type: ignore[type-arg]
    """A size in bytes, as 500MB; off is 0."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        found = re.fullmatch(r"([\d.]+) *([kmgt]?)b?", str(value).lower())
        if str(value).lower() == "off":
            return 0
        try:
            return int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " "))  # type: ignore[index]
        except (TypeError, ValueError):
            self.fail(f"{value!r} is no size; write 500MB, 2GB or off.", param, ctx)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A stretch of time, as 30s, 10m or 1h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?) *([smh]?)", str(value).lower())
        if found is None or float(found[1]) <= 0:
            self.fail(f"{value!r} is no time; write 30s, 10m or 1h.", param, ctx)
        return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
