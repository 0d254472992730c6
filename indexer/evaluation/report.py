"""Format evaluations as tables and as JSON."""

import math
from collections.abc import Mapping
from typing import Protocol

from indexer.evaluation.measurement import Measurement, compare
from retrieval.formatting import printable, to_json
from retrieval.scoring.metrics import Difference
from retrieval.types import Failure


class EvaluationResult(Protocol):
    """Common interface of the three evaluations."""

    @property
    def space(self) -> str:
        """Return the name of the evaluated space."""
        ...

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Return the files that could not be read."""
        ...

    @property
    def measured(self) -> Mapping[str, Measurement]:
        """Return the metrics of each query, by direction."""
        ...

    def headline(self) -> str:
        """Return a line about the data and the space."""
        ...

    def details(self) -> list[str]:
        """Return the lines between headline and means."""
        ...

    def json_fields(self) -> dict[str, object]:
        """Return the fields of the JSON output."""
        ...


def as_json(new: EvaluationResult, old: EvaluationResult | None) -> str:
    """Return one JSON object; with an older evaluation, it has the keys `against` and `differences`."""
    fields = new.json_fields()
    if old is not None:
        fields |= {"against": old.json_fields(), "differences": differences(old, new)}
    return to_json(_json_value(fields)) + "\n"


def as_table(new: EvaluationResult, old: EvaluationResult | None) -> str:
    """Return headline, details and means; with an older evaluation, the differences of the means."""
    lines = [printable(new.headline()), *map(printable, new.details())]
    return "\n".join(lines + (means_table(new) if old is None else comparison_table(new, old))) + "\n"


def means_table(result: EvaluationResult) -> list[str]:
    """Return a line per metric, with a column per direction."""
    parts = {part_title(part): measured.summary() for part, measured in result.measured.items()}
    lines = [" " * 16 + "".join(f"{title:>16}" for title in parts)] * (len(parts) > 1)
    for name in next(iter(parts.values())):
        lines.append(
            f"{name:16}" + "".join(f"{format_metric(name, row[name]):>16}" for row in parts.values())
        )
    return lines


def comparison_table(new: EvaluationResult, old: EvaluationResult) -> list[str]:
    """Return a table per direction: both means, their difference and its confidence interval."""
    lines = [f"against {printable(old.space)}"]
    by_part = differences(old, new)
    for part, measured in new.measured.items():
        title = part_title(part) if len(new.measured) > 1 else ""
        lines += ["", f"{title:16}{'this':>10}{'other':>10}{'difference':>12}   95 % interval"]
        means, other = measured.summary(), old.measured[part].summary()
        for name, value in means.items():
            if name in other:
                row = f"{name:16}{format_metric(name, value):>10}{format_metric(name, other[name]):>10}"
                lines.append(row + _format_interval(name, by_part[part].get(name)))
    significant = any(row.is_significant for part in by_part.values() for row in part.values())
    return (
        lines + ["", "* 0 is outside of the interval (bootstrap over queries, 2,000 resamples)"] * significant
    )


def differences(old: EvaluationResult, new: EvaluationResult) -> dict[str, dict[str, Difference]]:
    """Return new minus old for each metric, by direction."""
    return {part: compare(old.measured[part], measured) for part, measured in new.measured.items()}


def part_title(part: str) -> str:
    """Return the title of a direction."""
    return part.replace("_", " ")


def format_metric(name: str, value: float | None) -> str:
    """Return a metric for a table, `-` if it is undefined."""
    if value is None or not math.isfinite(value):
        return "-"
    if name == "median_rank":
        return f"{value:g}"
    return f"{value:.1f}" if "recall" in name else f"{value:.3f}"


def _format_interval(name: str, difference: Difference | None) -> str:
    if difference is None:
        return ""
    places = 1 if "recall" in name else 3
    mean, low, high = (f"{n:+.{places}f}" for n in (difference.mean, difference.low, difference.high))
    return f"{mean:>12}   {low} to {high}{' *' * difference.is_significant}"


def _json_value(value: object) -> object:
    """Return a value with None in place of NaN and infinity, and differences rounded."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Difference):
        return {key: round(getattr(value, key), 4) for key in ("mean", "low", "high")}
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    return [_json_value(item) for item in value] if isinstance(value, list | tuple) else value
