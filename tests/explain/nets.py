"""Quantized convolutions with a problem planted between them, and what an engine makes of them."""

from __future__ import annotations

import numpy as np
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.explain.run import explain_here
from edgekd.explain.sources import noise
from edgekd.graph.model import Graph
from onnx import helper

from tests.graph.graphs import build, pair

SIZE = 16


def weight(name, shape):
    """Nodes and constants of an int8 weight `NAME.f`, one scale a channel."""
    rng = np.random.default_rng(len(name) + shape[0])
    constants = {
        name: rng.integers(-127, 128, shape).astype(np.int8),
        f"{name}.s": np.full(shape[0], 0.004, np.float32),
    }
    return [helper.make_node("DequantizeLinear", [name, f"{name}.s"], [f"{name}.f"], axis=0)], constants


def net(middle, constants=None, *, channels=16, dtype=np.uint8, zero=0, after="m", scale=0.05, paired=True) -> Graph:
    """image -> pair -> Conv `first` -> `middle`, which makes `m` -> pair -> Conv `second` -> pair -> restored."""
    nodes, known = [], {"s": np.float32(0.02), "z": dtype(zero), "sm": np.float32(scale), "so": np.float32(0.1)}
    for name, shape in (("w1", (channels, 8, 3, 3)), ("w2", (16, channels, 3, 3))):
        more, values = weight(name, shape)
        nodes, known = nodes + more, known | values
    conv = {"pads": [1, 1, 1, 1]}
    nodes += pair("x", "image") if paired else []
    nodes += [helper.make_node("Conv", ["x" if paired else "image", "w1.f"], ["first"], **conv), *middle]
    nodes += [*pair("y", after, "sm"), helper.make_node("Conv", ["y", "w2.f"], ["second"], **conv)]
    nodes += pair("restored", "second", "so")
    return build(nodes, known | (constants or {}), (1, 8, SIZE, SIZE), (1, 16, SIZE, SIZE))


def op(kind, inputs=("first",), out="m", **attrs):
    return helper.make_node(kind, list(inputs), [out], **attrs)


def findings(graph, engine, **options):
    """Without what noise alone decides: which layer happens to be slower than in float."""
    found = explain_here(graph, engine, options, noise(graph), runs=2).findings
    return [f for f in found if "float twin" not in f.what]


def named(graph, engine, **options):
    """What is said of float, slow kernels and answers, by tensor."""
    found = findings(graph, engine, **options)
    return {f.tensor: f for f in found if f.kind not in ("layout", "quantize")}


def facts(graph, engine, tmp_path, **options):
    """What the engine's compiled form proves."""
    maker = backend(engine)
    return maker.compile(Job(graph, graph, [noise(graph)], []), maker.Options(**options), tmp_path).facts
