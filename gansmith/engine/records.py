"""What a training leaves behind in numbers: metrics.jsonl, TensorBoard events when installed, a plot of the curves."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from gansmith.engine.files import explained, write_file

PLOT_SHARE = 0.02  # of the time may go into plotting
WORD = 9  # points between two words at one mark
PLAIN = {"score/score", "score/error", "score/seconds"}  # for the stop rule; not drawn

DRAWN = ("coverage", "precision", "auc")  # signs of the watch that have a panel among the curves
BOARD = {"coverage", "precision", "kid", "auc", "memory", "diversity"}  # signs of the watch that TensorBoard shows


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl, oldest first; what follows a line that a crash cut short is left out."""
    records: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(record, dict) or "seen" not in record:
            break
        records.append(record)
    return records


class Records:
    """Appends one record a tick.

    Args:
        folder: the run directory.
        seen: records after this position are dropped: a resumed run writes them again.
    """

    def __init__(self, folder: Path, seen: int) -> None:
        self.path, self.folder = folder / "metrics.jsonl", folder
        self.rows = [r for r in read(self.path) if r["seen"] <= seen]
        text = "".join(json.dumps(r) + "\n" for r in self.rows)
        write_file(self.path, lambda temporary: temporary.write_text(text))
        self.board = _board(folder, seen)
        self.plot_cost, self.plotted = 0.0, -1e9

    def add(self, record: dict[str, Any]) -> None:
        """Append a record; its "seen" is the position."""
        self.rows.append(record)
        with explained(self.path), self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        if self.board is not None:
            for key, value in record.items():
                if isinstance(value, float):
                    self.board.add_scalar(key, value, record["seen"])
            for key in BOARD & record.get("signs", {}).keys():
                if record["signs"][key] is not None:
                    self.board.add_scalar(f"signs/{key}", record["signs"][key], record["seen"])

    def plot(self, always: bool = False) -> None:
        """Draw curves.png, unless that would take more than 2 % of the time."""
        started = time.perf_counter()
        if not always and started - self.plotted < self.plot_cost / PLOT_SHARE:
            return
        draw_curves(self.rows, self.folder / "curves.png")
        self.plotted = time.perf_counter()
        self.plot_cost = self.plotted - started

    def close(self) -> None:
        if self.board is not None:
            with contextlib.suppress(OSError):  # a full disk was told where it mattered
                self.board.close()


def _board(folder: Path, seen: int) -> Any:
    """A TensorBoard writer when the extra is installed; older events after `seen` are dropped from view."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=seen + 1 if seen else None)


def _draw_marks(panel: Any, marks: list[dict[str, Any]]) -> None:
    """A dotted line and a word for each mark; words at one place stand side by side."""
    for i, record in enumerate(marks):
        colour = "tab:green" if record["mark"] == "healthy" else "tab:red"
        panel.axvline(record["seen"] / 1000, color=colour, linestyle=":")
        before = sum(other["seen"] == record["seen"] for other in marks[:i])
        panel.annotate(
            str(record["mark"]),
            (record["seen"] / 1000, 0.02),
            xycoords=panel.get_xaxis_transform(),
            xytext=(-1 - WORD * before, 0),
            textcoords="offset points",
            rotation=90,
            fontsize="x-small",
            color=colour,
            ha="right",
        )


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot losses, gradient norms and scores against the samples seen, one panel a group, on one page.

    A key with companions key/low and key/high is drawn with that interval as a band; a record with a "mark" is a
    vertical line with that word.
    """
    import matplotlib.figure

    rows = [{f"signs/{k}": r["signs"][k] for k in DRAWN if r.get("signs", {}).get(k) is not None} | r for r in rows]
    groups: dict[str, list[str]] = {}
    for key in dict.fromkeys(k for r in rows for k in r if "/" in k):
        player, term = key.split("/", 1)
        if key in PLAIN or term.endswith(("/low", "/high")):
            continue
        groups.setdefault("gradient norms" if term.startswith("grad_norm") else player, []).append(key)
    if not groups:
        return
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    figure = matplotlib.figure.Figure(figsize=(5.5 * columns, 3 * lines), dpi=96, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for panel, (title, keys) in zip(panels, groups.items(), strict=False):
        for key in keys:
            points = [(r["seen"] / 1000, r[key]) for r in rows if key in r]
            label = key.split("/", 1)[1].removeprefix("grad_norm_")
            panel.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 3 else None)
            if bands := [(r["seen"] / 1000, r[f"{key}/low"], r[f"{key}/high"]) for r in rows if f"{key}/low" in r]:
                panel.fill_between(*zip(*bands, strict=True), alpha=0.25)
        positive = any(r.get(key, 0) > 0 for r in rows for key in keys)
        scale = "log" if title == "gradient norms" and positive else "linear"
        panel.set(title=title, xlabel="ksamples seen", yscale=scale)
        panel.legend(fontsize="small")
        panel.grid(alpha=0.3)
        _draw_marks(panel, [r for r in rows if "mark" in r])
    for panel in list(figure.axes)[len(groups) :]:
        panel.remove()
    write_file(path, lambda temporary: figure.savefig(temporary))
