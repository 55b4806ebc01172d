"""Progress on long work: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Display(Protocol):
    def say(self, text: str) -> None: ...
    def update(self, progress: float, note: str) -> None: ...
    def close(self) -> None: ...


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None: ...
    def update(self, progress: float, note: str) -> None: ...
    def close(self) -> None: ...


class Lines(Silent):
    """Plain lines, for logs and pipes."""

    def say(self, text: str) -> None:
        print(text, flush=True)


class Bar:
    """A live bar with lines above it, for terminals."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.shown = 0.0

    def say(self, text: str) -> None:
        if self.bar is None:
            print(text, flush=True)
        else:
            self.bar.console.print(text, markup=False, highlight=False)

    def update(self, progress: float, note: str) -> None:
        if time.perf_counter() - self.shown < 0.1:
            return
        self.shown = time.perf_counter()
        if self.bar is None:
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(30), TextColumn("{task.percentage:>5.1f} %"), TextColumn("{task.description}"))
            self.bar = Progress(*columns)
            self.bar.start()
            self.task = self.bar.add_task(note, total=1.0)
        assert self.task is not None
        self.bar.update(self.task, completed=progress, description=note)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def display(quiet: bool = False) -> Display:
    """The display that suits where the output goes."""
    if quiet:
        return Silent()
    return Bar() if sys.stdout.isatty() else Lines()


def duration(seconds: float) -> str:
    """A time that people read.

    >>> duration(42), duration(125), duration(7384)
    ('42 s', '2 min 05 s', '2 h 03 min')
    """
    s = round(seconds)
    if s < 100:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"


def count(n: float) -> str:
    """A number of samples that people read.

    >>> count(999), count(51_200), count(999_999), count(1_250_000)
    ('999', '51.2k', '1.00M', '1.25M')
    """
    if round(n) < 1000:
        return f"{n:.0f}"
    return f"{n / 1000:.1f}k" if n < 999_950 else f"{n / 1_000_000:.2f}M"
