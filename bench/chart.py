"""The chart of a run: a mark for each peer, to the right of the line where it takes more than rtproto."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

from bench.pages import row_name, shown_rows
from rtproto.bench import Report

mpl.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["draw"]

INK = "#737a84"  # as far from white as from black
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
MARKS = {
    "json": ("o", "#b58400"),
    "orjson": ("s", "#db6d28"),
    "msgspec": ("D", "#2f8f46"),
    "pydantic": ("^", "#4c8fe0"),
    "openai": ("v", "#d2568c"),
}
"""Each peer's marker and colour: told apart without colour, and seen on white and on black."""
TICKS = [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]


def draw(report: Report, folder: Path) -> None:
    """``chart.svg`` and ``chart.png``: without a background, for light pages and dark."""
    rows = [*shown_rows(report)]
    with plt.rc_context({**dict.fromkeys(INKED, INK), "svg.hashsalt": "rtproto", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(8.4, 0.42 * len(rows) + 1.2), layout="constrained")
        for number, label in enumerate(report.rows[0].peers):
            cells = [(place, row.peers[label].ratio) for place, row in enumerate(rows)]
            places, ratios = zip(*((place, ratio) for place, ratio in cells if ratio), strict=True)
            aside = [place + 0.15 * (number - 2) for place in places]  # none hides another
            marker, colour = MARKS[label]
            axes.scatter(ratios, aside, 30, colour, marker=marker, label=label, zorder=3)
        _dress(axes, [row_name(row) for row in rows])
        figure.legend(ncols=len(MARKS) + 1, loc="outside upper center", frameon=False)
        metadata = {"Title": "What peers take, in multiples of what rtproto takes"}
        figure.savefig(folder / "chart.svg", transparent=True, metadata={**metadata, "Date": None})
        figure.savefig(folder / "chart.png", transparent=True, dpi=160, metadata=metadata)
        plt.close(figure)


def _dress(axes: Any, names: list[str]) -> None:
    axes.axvline(1, color=INK, linewidth=1.4, label="rtproto")
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [f"{tick:g} ×" for tick in TICKS])
    axes.minorticks_off()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for axis, alpha in (("x", 0.25), ("y", 0.12)):
        axes.grid(visible=True, axis=axis, color=INK, alpha=alpha)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        "left of the line: the peer takes less than rtproto; right of it: more; no mark: it does not do it"
    )
