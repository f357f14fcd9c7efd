"""Peers side by side: the same work on the same frames, proven right, and timed in turn within one run.

It needs the extra ``bench``; ``rtproto bench`` runs it, and ``bench/`` in the repository keeps its results.
"""

from rtproto.bench.results import Cell, Machine, Report, Row
from rtproto.bench.run import Frame, Task, built_in_tasks, capture_tasks, run

__all__ = ["Cell", "Frame", "Machine", "Report", "Row", "Task", "built_in_tasks", "capture_tasks", "run"]
