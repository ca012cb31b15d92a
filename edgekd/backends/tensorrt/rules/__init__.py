"""Static rules of TensorRT's explicit quantization.

Sources: TensorRT documentation, "Working with Quantized Types" and its best practices for Q/DQ placement; reports in
NVIDIA/TensorRT's issues, whose numbers stand beside the rules. The operator lists are ours.
"""

from __future__ import annotations

from edgekd.backends.tensorrt.rules import kernels, placement, refusals
from edgekd.errors import Problem
from edgekd.graph.model import Graph


def check(graph: Graph) -> list[Problem]:
    """What TensorRT refuses, or would compute otherwise than the graph says."""
    return [problem for rule in refusals.RULES for problem in rule(graph)]


def notes(graph: Graph) -> list[Problem]:
    """What is right but slower than need be, or where a kernel may be missing: where, what, the change.

    Nothing in a graph without quantized tensors. Notes on the same matter have the same message.
    """
    if not any(True for _ in graph.codes()):
        return []
    return [note for rule in (*placement.FLOAT, *placement.SLOW, *kernels.RULES) for note in rule(graph)]
