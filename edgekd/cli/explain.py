"""`edgekd explain`: where the time goes, and what keeps a quantized network slow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekd.explain.findings import Explanation, Finding

NAME = "explain"
SHOWN = 12
"""Findings that are printed; `--json` has them all."""
SMALL = 0.005
"""Share of the whole below which a finding is not printed."""


def main(
    path: Annotated[Path, typer.Argument(help="A run's folder, or any quantized model file.")],
    engine: Annotated[
        str | None, typer.Option(help="An engine installed here; else the run's own, or every one that is installed.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed inferences.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Tell where the time of a quantized network goes, what keeps it slow, and what would change that.

    Layers are timed where the engine runs here, beside the same network in float; else the engine's rules alone speak.
    """
    from dataclasses import asdict

    from edgekd.cli import console
    from edgekd.explain.sources import explain_file, explain_run
    from edgekd.verify.foreign import is_model

    found = explain_file(path, engine, runs) if is_model(path) else explain_run(path, engine, runs)
    if json:
        console.emit({"explanations": [asdict(each) | {"layers_ms": each.layers_ms} for each in found]})
        return
    for i, each in enumerate(found):
        print("\n" * (i > 0), end="")
        show(each)


def show(found: Explanation) -> None:
    """Totals, where the time goes, findings."""
    from edgekd.cli import console
    from edgekd.explain.findings import REFUSED, UNRULED

    print(f"{found.engine}: {found.tool}" + (f"; {found.note}" if found.note else ""))
    if found.tool in (REFUSED, UNRULED):
        return
    if found.ms is not None:
        beside = f", {found.float_ms:.2f} ms in float: {found.float_ms / found.ms:.2f}x" if found.float_ms else ""
        print(f"{found.ms:.2f} ms an inference{beside}")
        print(f"{found.layers_ms:.2f} ms by layers, timed apart from the whole; 1 thread")
        print(f"{found.proof['of them in int8']} of {found.proof['weighted layers']} weighted layers in int8, "
              f"{100 * float(str(found.proof['share of MACs in int8'])):.1f} % of the MACs")  # fmt: skip
        print()
        console.table(["layers", "number", "ms", "share", "in float", "gain"], _rows(found), right=(1, 2, 3, 4, 5))
    print()
    _print_findings(found.findings, SMALL * (found.ms or 0.0))
    if found.ideal_ms is not None:
        print(f"\nwith every change made: about {found.ideal_ms:.2f} ms, estimated")


def _rows(found: Explanation) -> list[list[str]]:
    """Classes of layers beside the float twin's."""
    out = []
    for s in found.shares:
        beside = ["", ""] if s.float_ms is None else [f"{s.float_ms:.3f}", f"{s.float_ms / s.ms:.2f}x" if s.ms else ""]
        out.append([s.what, str(s.layers), f"{s.ms:.3f}", f"{100 * s.ms / found.layers_ms:.1f} %", *beside])
    return out


def _print_findings(findings: Sequence[Finding], least: float) -> None:
    if not findings:
        print("nothing found that keeps it slow")
        return
    shown = [f for f in findings if f.kind == "answers" or max(f.saving or 0.0, (f.ms or least)) >= least][:SHOWN]
    if not shown:
        print(f"nothing found that takes much; {len(findings)} small findings: --json lists them")
        return
    width = max(len(f.tensor) for f in shown)
    print(f"{'ms':>8}  {'saves':>7}  {'where':<{width}}  what, and the change that would end it")
    for f in shown:
        ms, saving = ("" if value is None else f"{value:.3f}" for value in (f.ms, f.saving))
        print(f"{ms:>8}  {saving:>7}  {f.tensor:<{width}}  {f.what}")
        method = f" ({f.method})" if f.method else ""
        print(f"{'':>8}  {'':>7}  {'':<{width}}  -> {f.change or 'none known'}{method}")
    if rest := len(findings) - len(shown):
        print(f"{rest} more, most of them small; --json lists them")
