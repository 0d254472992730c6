"""Plot recall against the number of hits."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from retrieval.errors import EvaluationError, ExtraMissing
from retrieval.scoring.metrics import QueryValues
from retrieval.system import expand_user

COLORS = ("#0b6e99", "#d9730d")  # distinguishable for color-blind readers
PLOT_SUFFIXES = (".png", ".svg")
K_TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100)


def check_plot_file(file: Path) -> None:
    """Raise EvaluationError or ExtraMissing if a plot cannot be written, before the evaluation starts."""
    if file.suffix.lower() not in PLOT_SUFFIXES:
        raise EvaluationError(f"Invalid plot file {file}. Use the suffix {' or '.join(PLOT_SUFFIXES)}.")
    if not expand_user(file).absolute().parent.is_dir():
        raise EvaluationError(f"The folder {file.parent} of the plot {file.name} does not exist.")
    if find_spec("matplotlib") is None:
        raise ExtraMissing("Plotting", "plot")


def plot(file: Path, title: str, panels: Mapping[str, Mapping[str, QueryValues]], measure: str) -> None:
    """Plot one panel per name, with a curve per model in percent at 1, 2, 3 ..., to a .png or .svg file."""
    check_plot_file(file)
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator, ScalarFormatter

    figure = Figure(figsize=(1.2 + 4.4 * len(panels), 4.2), layout="constrained", dpi=150)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (name, curves) in zip(axes, panels.items(), strict=True):
        ticks = [k for k in K_TICKS if k <= max(map(len, curves.values()))]
        for color, (label, curve) in zip(COLORS, curves.items(), strict=False):
            ks = range(1, len(curve) + 1)
            marked = [k - 1 for k in ticks if k <= len(curve)]
            ax.plot(ks, curve, color=color, lw=2, label=label, marker="o", ms=5, markevery=marked)
        ax.set_title(name if len(panels) > 1 else "", loc="left", fontsize=10, color="0.3")
        ax.set_xscale("log")
        ax.set_xticks(ticks)
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_ylim(0, 103)
        ax.set_xlabel(f"k, the first {'labels' if measure == 'accuracy' else 'hits'} (log scale)")
        ax.grid(color="0.92")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"{measure}@k (%)")
    axes[-1].legend(frameon=False, loc="lower right")
    figure.savefig(expand_user(file))
