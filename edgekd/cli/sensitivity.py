"""`edgekd sensitivity`: which layers lose what, and which to keep at more bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekd.quantize.sensitivity import Scan, Trial

NAME = "sensitivity"


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed.")],
    samples: Annotated[int | None, typer.Option(min=1, help="Evaluation samples to score on; default all.")] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Drop of the metric against FP32 that is allowed; chooses layers.")
    ] = None,
    max_layers: Annotated[int | None, typer.Option(min=1, help="Most layers to keep; chooses layers.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the run's recipe with the chosen layers here.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Quantize one layer at a time and score the task; with a budget, choose layers to keep at more bits or in float.

    The samples that are scored choose the layers: judge the written recipe on pictures it has not seen. Needs torch.
    """
    from dataclasses import asdict, replace

    from edgekd.cli import console
    from edgekd.cli.progress import TerminalReporter
    from edgekd.errors import Problem, RequestError
    from edgekd.evidence import Bundle
    from edgekd.mixed import bench_of, with_keep
    from edgekd.schema.recipes import placed
    from edgekd.schema.write import to_toml
    from edgekd.students.base import sign_of
    from edgekd.students.registry import bundled_task

    choosing = budget is not None or max_layers is not None
    if write is not None and not choosing:
        raise RequestError("nothing is chosen without a budget", "add `--budget 0.05` or `--max-layers 3`")
    if write is not None and write.exists():
        raise RequestError(f"`{write}` exists already", "name another file")
    bundle = Bundle(run)
    bench, count = bench_of(bundle, samples)
    from edgekd.quantize.sensitivity import choose, scan

    reporter = TerminalReporter(quiet=json)
    try:
        reporter.step(f"each layer alone, on {count} samples", False)
        found = scan(bench, reporter.tick)
        reporter.step("layers to keep", not choosing)
        trials = list(choose(bench, found, budget, max_layers, reporter.tick)) if choosing else []
    finally:
        reporter.stop()
    keep = {trial.key: trial.keep for trial in trials if trial.chosen}
    best = max([found.quantized, *(trial.metric for trial in trials if trial.chosen)])
    task = bundled_task(bundle)
    sign = sign_of(task, task.metric)
    if json:
        trials = [replace(trial, metric=sign * trial.metric) for trial in trials]
        console.emit(asdict(found.signed(sign)) | {"metric": task.metric, "unit": task.unit, "samples": count,
                                      "trials": [asdict(trial) for trial in trials], "keep": keep})  # fmt: skip
    else:
        show(found, trials, f"{task.metric} {task.unit}".strip(), count, sign)
        if choosing and not keep:
            print("\nno layer is kept: " + ("none that was tried helps" if trials else "the budget holds as it is"))
    if write is not None:
        write.write_text(to_toml(with_keep(placed(bundle.manifest.recipe, bundle.path), keep)), encoding="utf-8")
        if not json:
            print(f"\nwrote {write}\nnext: edgekd compress {write} --target {bundle.manifest.target.name}")
    if budget is not None and found.full - best > budget:
        drop = f"{found.full - best:.3f} {task.unit}".strip()
        hint = "allow a larger `--budget`" + (" or more `--max-layers`" if max_layers else ", or train with `qat`")
        console.tell([Problem("budget", f"the best choice loses {drop}, allowed are {budget:g}", hint)])
        raise typer.Exit(1)


def show(found: Scan, trials: list[Trial], metric: str, count: int, sign: int) -> None:
    """Layers, the most sensitive first; then what was tried."""
    from edgekd.cli.console import table

    layers = sorted(found.layers, key=lambda layer: layer.metric)
    rows = [[x.key, f"{x.macs:,}", f"{x.weight_bytes:,}", f"{found.full - x.metric:+.4f}"] for x in layers]
    table(["layer, quantized alone", "MACs", "bytes", f"{metric} lost"], rows, right=(1, 2, 3))
    whole, quantized = sign * found.full, sign * found.quantized
    print(f"\nall float {whole:.3f}, all quantized {quantized:.3f} {metric}, mean of {count} samples")
    print("the same samples choose the layers: judge the choice on others")
    if trials:
        print()
        rows = [[x.key, str(x.keep), f"{sign * x.metric:.3f}", "kept" if x.chosen else "does not help"] for x in trials]
        table(["layer", "kept as", f"{metric} of all", ""], rows, right=(2,))
