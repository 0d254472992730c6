"""What was measured, as tables and as JSON."""

import math
from collections.abc import Mapping
from typing import Protocol

from indexer.evaluation.measurement import Measurement, compare
from retrieval.formatting import printable, to_json
from retrieval.scoring.metrics import Difference
from retrieval.types import Failure


class EvaluationResult(Protocol):
    """What the three measurings have in common."""

    @property
    def space(self) -> str:
        """Name the space that was measured."""
        ...

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Return the files that were left out."""
        ...

    @property
    def measured(self) -> Mapping[str, Measurement]:
        """Return what each query found, a part a direction."""
        ...

    def headline(self) -> str:
        """Say in a line what was measured on what."""
        ...

    def details(self) -> list[str]:
        """Return what stands between headline and means."""
        ...

    def json_fields(self) -> dict[str, object]:
        """Return the keys of its JSON."""
        ...


def as_json(new: EvaluationResult, old: EvaluationResult | None) -> str:
    """Return one JSON object; with another space its own under `against`, and the differences to it."""
    facts = new.json_fields()
    if old is not None:
        facts |= {"against": old.json_fields(), "differences": differences(old, new)}
    return to_json(_json_value(facts)) + "\n"


def as_table(new: EvaluationResult, old: EvaluationResult | None) -> str:
    """Return headline, details and means; with another space the difference of each mean."""
    lines = [printable(new.headline()), *map(printable, new.details())]
    return "\n".join(lines + (means_table(new) if old is None else comparison_table(new, old))) + "\n"


def means_table(result: EvaluationResult) -> list[str]:
    """Return a line a measure, a column a part."""
    parts = {part_title(part): measured.summary() for part, measured in result.measured.items()}
    lines = [" " * 16 + "".join(f"{title:>16}" for title in parts)] * (len(parts) > 1)
    for name in next(iter(parts.values())):
        lines.append(
            f"{name:16}" + "".join(f"{format_metric(name, row[name]):>16}" for row in parts.values())
        )
    return lines


def comparison_table(new: EvaluationResult, old: EvaluationResult) -> list[str]:
    """Return a table a part: both means, their difference and its interval."""
    lines = [f"against {printable(old.space)}"]
    found = differences(old, new)
    for part, measured in new.measured.items():
        title = part_title(part) if len(new.measured) > 1 else ""
        lines += ["", f"{title:16}{'this':>10}{'other':>10}{'difference':>12}   95 % interval"]
        mine, other = measured.summary(), old.measured[part].summary()
        for name, value in mine.items():
            if name in other:
                row = f"{name:16}{format_metric(name, value):>10}{format_metric(name, other[name]):>10}"
                lines.append(row + _format_interval(name, found[part].get(name)))
    sure = any(each.is_significant for part in found.values() for each in part.values())
    return lines + ["", "* 0 is outside of the interval, over queries drawn anew 2,000 times"] * sure


def differences(old: EvaluationResult, new: EvaluationResult) -> dict[str, dict[str, Difference]]:
    """Return how much more the new has of each measure, a part a direction."""
    return {part: compare(old.measured[part], measured) for part, measured in new.measured.items()}


def part_title(part: str) -> str:
    """Return the name of a part as a person reads it."""
    return part.replace("_", " ")


def format_metric(name: str, value: float) -> str:
    """Return a measure as its table has it; `-` is none."""
    if not math.isfinite(value):
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
    """Return the same with None for what JSON has no number for, and measures rounded."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Difference):
        return {key: round(getattr(value, key), 4) for key in ("mean", "low", "high")}
    if isinstance(value, Mapping):
        return {key: _json_value(one) for key, one in value.items()}
    return [_json_value(one) for one in value] if isinstance(value, list | tuple) else value
