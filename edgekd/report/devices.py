"""What was measured on devices, as the report shows it: side by side, then with all its witnesses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekd.evidence import Figure

Titles = Mapping[str, str]


@dataclass(frozen=True)
class Measured:
    """A device, its machine, and the latest figure of each kind about each subject."""

    name: str
    host: str
    figures: dict[tuple[str, str], Figure]

    @property
    def timed(self) -> bool:
        """Whether latency was measured there."""
        return bool(self.of("latency"))

    @property
    def warnings(self) -> list[str]:
        """What of its state makes the figures doubtful."""
        return [warning for figure in self.of("state") for warning in figure.details["warnings"]]

    def of(self, name: str) -> list[Figure]:
        """All figures of a kind."""
        return [figure for (kind, _), figure in self.figures.items() if kind == name]


def devices(figures: Sequence[Figure]) -> list[Measured]:
    """Every device in the ledger, in the order of their first figures."""
    found: dict[str, dict[tuple[str, str], Figure]] = {}
    for figure in figures:
        if figure.device:
            found.setdefault(figure.device, {})[figure.name, figure.subject] = figure
    return [Measured(name, _machine(latest.values()), latest) for name, latest in found.items()]


def _machine(figures: Collection[Figure]) -> str:
    """What a device is, as its state tells it, or who answered; all of them where its speed was got in several."""
    told = [f.host for f in figures if f.name == "latency"] or [[*figures][-1].host]
    return "; ".join(dict.fromkeys(told))


def rows(measured: Sequence[Measured], titles: Titles, metric: str, unit: str) -> list[dict[str, Any]]:
    """The table of devices side by side: a title and a text for each device; empty where it was not measured."""
    out: dict[str, dict[str, str]] = {}
    for device in measured:
        for title, text in _lines(device, titles, metric, unit):
            out.setdefault(title, {})[device.name] = text
    return [
        {"title": title, "cells": [texts.get(device.name, "") for device in measured]} for title, texts in out.items()
    ]


def _lines(device: Measured, titles: Titles, metric: str, unit: str) -> Iterator[tuple[str, str]]:
    forms: dict[str, Callable[[Figure], str]] = {
        "latency": lambda f: f"{f.value:.3g} ms",
        "speed-up": lambda f: f"{f.value:.2f} ×",
        "peak memory": lambda f: f"{f.value / 2**20:.1f} MiB",
        "energy": lambda f: f"{f.value * 1e3:.3g} mJ above idle",
        metric: lambda f: f"{f.value:.3f}{unit}, n = {f.n}",
        "parity": lambda f: f"{f.value:.3%}",
    }
    for form, text in forms.items():
        for (name, subject), figure in device.figures.items():
            if name == form or name.startswith((f"{form} over ", f"{form} on ")):
                about, title = subject.removesuffix(f" on {device.name}"), name
                if over := figure.details.get("over"):
                    title = f"{form} over {titles.get(over, over)}"
                told = [text(figure), *(["short measurement"] if figure.details.get("short") else []),
                        *([figure.kind] if figure.kind != "measured" else [])]  # fmt: skip
                yield f"{title} of {titles.get(about, about)}", ", ".join(told)
