"""Charts as SVG that takes the page's text colour, so that they are read in light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_INK = "#010203"  # stands for the page's text colour until the SVG is written
COLORS = ("#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#64748b")

STYLES = ("-", "--", ":")
"""Of lines: where colours come again."""


def curves(series: Mapping[str, Sequence[float]], ylabel: str) -> str:
    """Lines over training steps, logarithmic, each smoothed over 2 % of its steps."""
    figure, axes = _figure(ylabel, "step")
    for i, (name, values) in enumerate(series.items()):
        color, style = COLORS[i % len(COLORS)], STYLES[i // len(COLORS) % len(STYLES)]
        width = max(1, len(values) // 50)
        smooth = np.convolve(values, np.full(width, 1 / width), "valid")
        axes.plot(np.arange(len(smooth)) + width, smooth, label=name, color=color, linestyle=style, linewidth=1.6)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter("{x:.3g}" if high / low < 12 else "")
    _legend(figure)
    return _svg(figure)


def differences(columns: Mapping[str, Mapping[str, float]], ylabel: str) -> str:
    """Bars around zero, one a sample and subject."""
    figure, axes = _figure(ylabel, "")
    ids = list(next(iter(columns.values())))
    width = 0.8 / len(columns)
    for i, (name, values) in enumerate(columns.items()):
        at = np.arange(len(ids)) + (i - (len(columns) - 1) / 2) * width
        axes.bar(at, [values[sample] for sample in ids], width, label=name, color=COLORS[i % len(COLORS)])
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_xticks(range(len(ids)), ids, rotation=45, ha="right", fontsize=8)
    _legend(figure)
    return _svg(figure)


def means(rows: Sequence[tuple[str, float, tuple[float, float] | None]], xlabel: str) -> str:
    """A line a subject, the first at the top: its mean between the ends of its interval."""
    figure, axes = _figure("", xlabel)
    at = np.arange(len(rows))[::-1]
    values = np.array([value for _, value, _ in rows])
    ends = np.array([_arms(value, interval) for _, value, interval in rows]).T
    axes.errorbar(values, at, xerr=ends, fmt="o", color=COLORS[0], markersize=5, elinewidth=1.2, capsize=3)
    axes.set_yticks(at, [name for name, _, _ in rows], fontsize=8)
    axes.margins(y=0.08)
    return _svg(figure)


@dataclass(frozen=True)
class Mark:
    """A point of a scatter: its place, the series that gives its colour, its own name, 95 % intervals."""

    x: float
    y: float
    series: str
    name: str
    y_interval: tuple[float, float] | None = None
    x_interval: tuple[float, float] | None = None


def scatter(marks: Sequence[Mark], front: Sequence[tuple[float, float]], xlabel: str, ylabel: str) -> str:
    """Points with their intervals and names, one colour a series; dashed steps join the front's."""
    figure, axes = _figure(ylabel, xlabel)
    right = max(mark.x for mark in marks)
    if right > 4 * min(mark.x for mark in marks) > 0:
        _logarithmic(axes)
    xs, ys = zip(*front, (right, front[-1][1]), strict=True)
    axes.step(xs, ys, where="post", color=_INK, linewidth=0.9, linestyle="--", alpha=0.6, label="best for their cost")
    for color, name in zip(COLORS * 9, dict.fromkeys(mark.series for mark in marks), strict=False):
        own = [mark for mark in marks if mark.series == name]
        bars = [np.array([_arms(at, span) for at, span in pairs]).T
                for pairs in ([(m.y, m.y_interval) for m in own], [(m.x, m.x_interval) for m in own])]  # fmt: skip
        axes.errorbar([m.x for m in own], [m.y for m in own], *bars, "o", color=color, label=name, markersize=5,
                      elinewidth=0.8, alpha=0.9)  # fmt: skip
    _names(axes, marks)
    _legend(figure)
    return _svg(figure)


def _arms(at: float, interval: tuple[float, float] | None) -> tuple[float, float]:
    """How far an error bar reaches below and above."""
    low, high = interval or (at, at)
    return max(0.0, at - low), max(0.0, high - at)


def _logarithmic(axes: Any) -> None:
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:.3g}")
    axes.xaxis.set_minor_formatter("")


def _names(axes: Any, marks: Sequence[Mark]) -> None:
    """Names beside points, above and below in turns; one name at one place stands once."""
    places = {(mark.name, f"{mark.x:.2g}"): mark for mark in marks}
    for i, mark in enumerate(sorted(places.values(), key=lambda mark: mark.x)):
        axes.annotate(mark.name, (mark.x, mark.y), (5, -11 if i % 2 else 4), textcoords="offset points", fontsize=8)


def _legend(figure: Any) -> None:
    """Above the axes, where it hides nothing."""
    figure.legend(loc="outside upper left", frameon=False, fontsize=9, ncols=2)


def _figure(ylabel: str, xlabel: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_ylabel(ylabel, color=_INK)
    axes.set_xlabel(xlabel, color=_INK)
    axes.tick_params(colors=_INK, which="both", labelsize=9)
    axes.grid(alpha=0.2, color=_INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "edgekd", "font.family": "sans-serif",
                                "text.color": _INK, "legend.labelcolor": _INK}):  # fmt: skip
        for text in figure.findobj(matplotlib.text.Text):
            text.set_color(_INK)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"|(<svg[^>]*?) height="[^"]*"', r"\1\2", svg, count=1)
    return svg.replace(_INK, "currentColor")
