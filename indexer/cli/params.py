"""Click parameter types: byte sizes and durations."""

import re
from typing import Any

import click

MAX_BYTES = 10**18  # an exabyte
MIN_SECONDS = 1


class ByteSize(click.ParamType):  # type: ignore[type-arg]
    """A size such as 500MB; "off" is 0."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        match = re.fullmatch(r"([\d.]+) *([kmgt]?)b?", str(value).lower())
        if str(value).lower() == "off":
            return 0
        try:
            size = float(match[1]) * 1000 ** " kmgt".index(match[2] or " ")  # type: ignore[index]
        except (TypeError, ValueError):
            self.fail(
                f'{value!r} is not a size. Use a number with a unit, such as 500MB or 2GB, or "off".',
                param,
                ctx,
            )
        if size > MAX_BYTES:
            self.fail("The size is too large. The largest is 1000000TB.", param, ctx)
        return int(size)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration such as 30s, 10m or 1h; without a unit, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?) *([smh]?)", str(value).lower())
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a duration. Use a number with a unit: 30s, 10m or 1h.", param, ctx)
        seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
        if seconds < MIN_SECONDS:
            self.fail(f"{value!r} is too short. The shortest duration is {MIN_SECONDS}s.", param, ctx)
        return seconds
