"""`edgekd inspect`: what a run or an ONNX file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekd.graph.layers import Layer, Total
    from edgekd.graph.model import Graph
    from edgekd.graph.quantizers import Quantizer
    from edgekd.schema.io import Input

NAME = "inspect"


def main(
    path: Annotated[Path, typer.Argument(help="A run's folder, or an ONNX, `.tflite` or `.rpk` file.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show a bundle: network, target, artifacts, files; or a model file, operator by operator. Needs no torch."""
    from edgekd.cli.firmware import show_rpk
    from edgekd.verify.foreign import is_model

    if path.suffix.lower() == ".rpk":
        show_rpk(path, json)
    elif is_model(path):
        show_graph(path, json)
    else:
        show_bundle(path, json)


def show_graph(path: Path, json: bool) -> None:
    """Operators with their cost, arithmetic and accumulator head-room; the quantizers; totals."""
    from dataclasses import asdict

    from edgekd.cli import console
    from edgekd.graph.cost import Cost, count
    from edgekd.graph.layers import layers, totals
    from edgekd.graph.quantizers import quantizers
    from edgekd.verify.foreign import read_graph

    graph, counted, note = _countable(read_graph(path))
    found, grids = layers(graph), quantizers(graph)
    cost: Cost | None = count(graph) if counted else None
    notes = [note] if note else []
    if json:
        console.emit(
            {"notes": notes, "opset": graph.opset, **(asdict(cost) if cost else {})}
            | {"layers": [asdict(x) for x in found], "totals": [asdict(x) for x in totals(found)]}
            | {"quantizers": [asdict(x) for x in grids]}
        )
        return
    _print_layers(found)
    if grids:
        print()
        _print_quantizers(grids)
    print()
    _print_totals(totals(found))
    figures = [f"{name.replace('_', ' ')} {value:,}" for name, value in asdict(cost).items()] if cost else []
    print("\n" + "; ".join([f"opset {graph.opset}", *figures]))
    tight = min((x for x in found if x.head_room is not None), key=lambda x: x.head_room or 0, default=None)
    if tight is not None:
        print(f"tightest int32 accumulator: {tight.name}, {_bits(tight.head_room or 0)} bits left at worst")
    for note in notes:
        print(f"note: {note}")


def _countable(graph: Graph) -> tuple[Graph, bool, str]:
    """The graph, its batch fixed to one where that makes its shapes static; whether it is counted; what to note."""
    from edgekd.errors import RequestError
    from edgekd.graph.cost import count
    from edgekd.graph.model import with_batch

    try:
        count(graph)
    except RequestError:
        one = with_batch(graph, 1)
        try:
            count(one)
        except RequestError as error:
            return graph, False, f"{error.message}: its cost is not counted"
        return one, True, "the batch is free; shapes and cost are those of one"
    return graph, True, ""


def _print_layers(found: Sequence[Layer]) -> None:
    from edgekd.cli import console

    rows = [
        [
            layer.name,
            layer.operator,
            "x".join(str(n or "?") for n in layer.shape),
            f"{layer.macs:,}" if layer.macs else "",
            f"{layer.weight_bytes:,}" if layer.weight_bytes else "",
            layer.arithmetic,
            "" if layer.head_room is None else _bits(layer.head_room),
        ]
        for layer in found
    ]
    console.table(["tensor", "operator", "shape", "MACs", "bytes", "reads", "bits left"], rows, right=(3, 4, 6))


def _print_quantizers(grids: Sequence[Quantizer]) -> None:
    from edgekd.cli import console

    rows = [
        [
            q.tensor,
            q.role,
            q.type,
            _scales(q),
            "varies" if q.zero is None else str(q.zero),
            "" if q.role == "bias" else f"{q.low:.4g} .. {q.high:.4g}",
            ", ".join(q.shares_with[:2]) + (f", {len(q.shares_with) - 2} more" if len(q.shares_with) > 2 else ""),
        ]
        for q in grids
    ]
    console.table(["codes", "role", "type", "scale", "zero", "range", "same grid"], rows, right=(4,))


def _bits(head_room: float) -> str:
    """Rounded down, so that an overflow never looks like a fit."""
    from math import floor

    return f"{floor(10 * head_room) / 10:.1f}"


def _scales(q: Quantizer) -> str:
    """`2^-5`, `0.0123`, or how many from the smallest to the largest."""
    from math import log2

    ends = [f"2^{log2(s):.0f}" if q.power_of_two else f"{s:.4g}" for s in (q.scale_min, q.scale_max)]
    return ends[0] if q.scales == 1 else f"{q.scales}: {' .. '.join(dict.fromkeys(ends))}"


def _print_totals(sums: Sequence[Total]) -> None:
    from edgekd.cli import console

    whole = sum(t.macs for t in sums) or 1
    rows = [
        [t.arithmetic, str(t.operators), f"{t.macs:,}", f"{100 * t.macs / whole:.1f} %", f"{t.weight_bytes:,}"]
        for t in sums
    ]
    console.table(["reads", "operators", "MACs", "share", "bytes"], rows, right=(1, 2, 3, 4))


def show_bundle(run: Path, json: bool) -> None:
    """The manifest, artifacts and files."""
    from edgekd.backends.base import read_artifact
    from edgekd.cli import console
    from edgekd.evidence import Bundle
    from edgekd.graph.model import Graph, read_model

    bundle = Bundle(run)
    manifest, changed = bundle.manifest, bundle.changed()
    if json:
        console.emit(manifest.model_dump(mode="json", by_alias=True) | {"changed": changed})
        return
    graph = Graph(read_model(bundle.path / "graph.onnx"))
    print(f"{manifest.name}, made {manifest.created}")
    target = manifest.target
    print(f"target   {target.board.title}, engine {target.engine_name}: {target.arithmetic.name}")
    print(f"graph    opset {graph.opset}, {len(graph.nodes)} operators, {len(list(graph.codes()))} quantized tensors")
    for spec in graph.io.inputs:
        print(f"input    {spec.name} {list(spec.shape)} {encoding(spec)}")
    for output in graph.io.outputs:
        labels = ", ".join(getattr(output, "labels", ()))
        print(f"output   {output.name}, read as {output.decode}" + (f": {labels}" if labels else ""))
    for name, record in manifest.engines.items():
        artifact = read_artifact(bundle.path / "artifacts" / name)
        print(f"{record.role:<8} {name}: {artifact.kind}, {artifact.tool}")
    print()
    rows = [
        [name, "changed" if name in changed else "as written", digest[:12]] for name, digest in manifest.files.items()
    ]
    console.table(["file", "state", "sha-256"], rows)


def encoding(spec: Input) -> str:
    """How an input is made, with the io record's own numbers."""
    from edgekd.schema.io import ImageInput

    if not isinstance(spec, ImageInput):
        return f"numbers from {spec.ends[0]:g} to {spec.ends[1]:g}"
    pixel = "pixel / 255" if spec.scale == 1 / 255 else f"pixel * {spec.scale:g}"
    return f"{spec.layout} {spec.color}, ({pixel} - {spec.mean}) / {spec.std}"
