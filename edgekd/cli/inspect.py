"""`edgekd inspect`: what a run or an ONNX file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "inspect"


def main(
    path: Annotated[Path, typer.Argument(help="A run's folder, or any ONNX file.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show a bundle: network, target, artifacts, files; or an ONNX file, operator by operator. Needs no torch."""
    if path.suffix == ".onnx":
        show_graph(path, json)
    else:
        show_bundle(path, json)


def show_graph(path: Path, json: bool) -> None:
    """Operators with their cost, arithmetic and accumulator head-room."""
    from dataclasses import asdict

    from edgekd.cli import console
    from edgekd.errors import RequestError
    from edgekd.graph.cost import count
    from edgekd.graph.layers import layers
    from edgekd.graph.model import Graph, read_model

    graph = Graph(read_model(path))
    found = layers(graph)
    try:
        cost, note = asdict(count(graph)), ""
    except RequestError as error:
        cost, note = {}, f"{error.message}: its cost is not counted"
    if json:
        console.emit({"note": note, "opset": graph.opset, **cost, "layers": [asdict(layer) for layer in found]})
        return
    rows = [
        [
            layer.name,
            layer.operator,
            "x".join(map(str, layer.shape)),
            f"{layer.macs:,}" if layer.macs else "",
            f"{layer.weight_bytes:,}" if layer.weight_bytes else "",
            layer.arithmetic,
            "" if layer.head_room is None else f"{layer.head_room:.1f}",
        ]
        for layer in found
    ]
    console.table(["tensor", "operator", "shape", "MACs", "bytes", "reads", "bits left"], rows, right=(3, 4, 6))
    if note:
        print(f"\nnote: {note}")
    print(f"\nopset {graph.opset}; " + "; ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in cost.items()))


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
        how = f"(pixel / 255 - {spec.mean}) / {spec.std}"
        print(f"input    {spec.name} {list(spec.shape)} {spec.layout} {spec.color}, {how}")
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
