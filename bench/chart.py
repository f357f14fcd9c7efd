"""The chart of a run: a mark for each peer, to the right of the line where it takes more than rtproto."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

from bench.pages import row_name, shown_rows
from rtproto.bench import Report

mpl.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["draw"]

INK = "#7d8590"  # as far from white as from black
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
COLOURS = {
    "json": "#d29922",
    "orjson": "#db6d28",
    "msgspec": "#3f9c53",
    "pydantic": "#4c8fe0",
    "openai": "#d2568c",
}
MARKERS = dict(zip(COLOURS, "osD^v", strict=True))


def draw(report: Report, folder: Path) -> None:
    """``chart.svg`` and ``chart.png``: without a background, for light pages and dark."""
    rows = [*shown_rows(report)]
    with plt.rc_context({**dict.fromkeys(INKED, INK), "svg.hashsalt": "rtproto", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(8.4, 0.36 * len(rows) + 1.2), layout="constrained")
        for number, label in enumerate(COLOURS):
            cells = [(place, row.peers[label].ratio) for place, row in enumerate(rows)]
            places, ratios = zip(*((place, ratio) for place, ratio in cells if ratio), strict=True)
            aside = [place + 0.11 * (number - 2) for place in places]  # none hides another
            axes.scatter(ratios, aside, 30, COLOURS[label], marker=MARKERS[label], label=label, zorder=3)
        _dress(axes, [row_name(row) for row in rows])
        figure.legend(ncols=len(COLOURS) + 1, loc="outside upper center", frameon=False)
        figure.savefig(folder / "chart.svg", transparent=True, metadata={"Date": None})
        figure.savefig(folder / "chart.png", transparent=True, dpi=160)
        plt.close(figure)


def _dress(axes: Any, names: list[str]) -> None:
    axes.axvline(1, color=INK, linewidth=1.4, label="rtproto")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g} ×")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for axis, alpha in (("x", 0.25), ("y", 0.12)):
        axes.grid(visible=True, axis=axis, color=INK, alpha=alpha)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("what the peer takes, in multiples of what rtproto takes; no mark: it does not do it")
