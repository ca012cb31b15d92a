"""`edgekd inspect`: what a run holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "inspect"


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed.")],
    json: Annotated[bool, typer.Option("--json", help="The manifest as JSON on stdout.")] = False,
) -> None:
    """Show a bundle: network, target, artifacts, files, and whether they are as they were written. Needs no torch."""
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
    for name, record in manifest.engines.items():
        artifact = read_artifact(bundle.path / "artifacts" / name)
        print(f"{record.role:<8} {name}: {artifact.kind}, {artifact.tool}")
    print()
    rows = [
        [name, "changed" if name in changed else "as written", digest[:12]] for name, digest in manifest.files.items()
    ]
    console.table(["file", "state", "sha-256"], rows)
