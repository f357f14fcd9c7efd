"""A result is ratios: how many times ours each peer takes, and how far that spread."""

import platform
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from statistics import quantiles

import msgspec

__all__ = ["HOLD", "Cell", "Machine", "Report", "Row", "cell_of", "rounded", "this_machine"]


HOLD = "hold an event"
"""The operation whose figure is memory: the bytes of a decoded event while it is held."""


class Cell(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one peer takes, in multiples of what rtproto takes for the same in the same round."""

    ratio: float | None = None
    """The median of all rounds; ``None``: it does not do the work."""
    low: float | None = None
    """The lower quartile of the rounds; ``None``: there was one."""
    high: float | None = None
    """The upper quartile; ``None``: as ``low``."""
    wrong: int = 0
    """The frames that it gets wrong; they were left out, for both."""
    why: str | None = None
    """Why it does not do the work, or gets all or some of it wrong."""

    @property
    def text(self) -> str:
        """As tables show it: the ratio, half the quartiles' distance in percent, a star if some are wrong."""
        if not (self.ratio and self.low and self.high):
            return self.short
        spread = f" ±{(self.high - self.low) / 2 / self.ratio:.0%}"
        return f"{self._figure(self.ratio)}{spread}{self._star}"

    @property
    def short(self) -> str:
        """The same without the distance."""
        return f"{self._figure(self.ratio)}{self._star}" if self.ratio else "no"

    @property
    def _star(self) -> str:
        return " *" if self.wrong else ""

    @staticmethod
    def _figure(ratio: float) -> str:
        return f"{ratio:.{0 if ratio >= 100 else 1 if ratio >= 10 else 2}f}"


class Row(msgspec.Struct, kw_only=True):
    """One operation on one case."""

    operation: str
    """What was done."""
    case: str
    """What it was done to."""
    frames: int
    """How many different frames that is."""
    bytes: int
    """The size of one, on average."""
    unit: str
    """Of ``ours``: ``µs`` and ``B`` per frame, ``ms`` per import."""
    ours: float | None
    """What rtproto takes: the median; ``None``: it gets no frame right that another does."""
    peers: dict[str, Cell]
    """What the others take, by label."""

    @property
    def own(self) -> str:
        """What rtproto takes, as a table shows it."""
        return "–" if self.ours is None else f"{self.ours:,.4g} {self.unit}"


class Machine(msgspec.Struct, kw_only=True):
    """What the numbers were taken on."""

    python: str
    system: str
    processor: str
    libraries: dict[str, str]
    """The peers' libraries, with their versions."""

    @property
    def text(self) -> str:
        """All of it, in a line."""
        libraries = ", ".join(f"{name} {version}" for name, version in self.libraries.items())
        return f"{self.python} on {self.system}, {self.processor}; {libraries}"


class Report(msgspec.Struct, kw_only=True):
    """One run."""

    machine: Machine
    processes: int
    """How many fresh processes one after another, each with all peers in turn."""
    rounds: int
    """How many rounds in each of them."""
    remarks: dict[str, str]
    """What each peer does not do."""
    rows: list[Row]

    def notes(self) -> list[str]:
        """What is behind each "no" and each star: operation, cases unless all, peers, and why.

        What cannot be decoded cannot be held either: that is told once.
        """
        cases: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for row in self.rows:
            for label, cell in row.peers.items():
                if cell.why and row.operation != HOLD:
                    count = f" ({cell.wrong} of {row.frames})" if cell.ratio else ""
                    cases[row.operation, label, cell.why].append(row.case + count)
        labels: dict[tuple[str, str], list[str]] = defaultdict(list)
        for (operation, label, why), names in cases.items():
            every = [row.case for row in self.rows if row.operation == operation]
            where = operation if names == every else f"{operation}, {', '.join(names)}"
            labels[where, why].append(label)
        return [f"{where}: {', '.join(found)}: {why}" for (where, why), found in labels.items()]


def cell_of(ratios: Sequence[float], *, wrong: int, why: str | None) -> Cell:
    """The median and the quartiles of the rounds; without any, only why."""
    if len(ratios) < 2:
        return Cell(ratio=rounded(ratios[0]) if ratios else None, wrong=wrong, why=why)
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return Cell(ratio=rounded(middle), low=rounded(low), high=rounded(high), wrong=wrong, why=why)


def rounded(figure: float) -> float:
    """Three digits: more than any of them tells."""
    return float(f"{figure:.3g}")


def this_machine(libraries: Iterable[str]) -> Machine:
    """What this process runs on."""
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        libraries={name: version(name) for name in sorted({*libraries})},
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        return platform.processor() or sys.platform
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()
