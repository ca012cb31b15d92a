"""A network of many tensors: few compiles, and still the right one is named."""

from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.graph.model import with_constants
from edgekd.verify.engines import LocalEngine
from edgekd.verify.search import CUTS, check_engine, segments
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.graph.graphs import build, pair

DEPTH = 100
RNG = np.random.default_rng(7)


def chain():
    """image -> 100 x (Conv, Relu, pair); weights keep the second moment (He et al. 2015)."""
    constants = {"s": np.float32(0.05), "z": np.uint8(0), "zi": np.uint8(128)}
    nodes, last = pair("x", "image", "s", "zi"), "x"
    for i in range(DEPTH):
        weight = RNG.normal(0, 40, (4, 4, 3, 3)).clip(-127, 127).astype(np.int8)
        scale = np.sqrt(2 / 24) / weight.std()  # borders read zeros: 24 of 36 taps count at least
        constants |= {f"w{i}": weight, f"ws{i}": np.full(4, scale, np.float32)}
        nodes += [
            helper.make_node("DequantizeLinear", [f"w{i}", f"ws{i}"], [f"wf{i}"], axis=0),
            helper.make_node("Conv", [last, f"wf{i}"], [f"c{i}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"]),
            *pair(f"y{i}", f"r{i}"),
        ]
        last = f"y{i}"
    nodes.append(helper.make_node("Identity", [last], ["restored"]))
    return build(nodes, constants, (1, 4, 12, 12), (1, 4, 12, 12))


@dataclass(frozen=True)
class Counted(LocalEngine):
    """Notes which tensors were exposed."""

    seen: list[str] = field(default_factory=list)

    def observe(self, inputs, groups):
        self.seen.extend(name for group in groups for name in group)
        return super().observe(inputs, groups)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    graph, folder = chain(), tmp_path_factory.mktemp("chain")
    image = {"image": RNG.normal(0, 1, (1, 4, 12, 12)).astype(np.float32)}
    ort = backend("onnxruntime")
    artifact = ort.compile(Job(graph, graph, [image], []), ort.Options(), folder)
    return graph, image, artifact, folder


def test_a_sound_engine_needs_the_cuts_alone(compiled):
    graph, image, artifact, folder = compiled
    engine = Counted("ort", artifact, folder)
    hop = check_engine("golden → ort", engine, graph, [image], "rne_f32")
    assert hop.first_beyond is None
    assert len(engine.seen) <= CUTS
    assert hop.tensors[-1].tensor == "restored"
    everything = check_engine("golden → ort", Counted("ort", artifact, folder), graph, [image], "rne_f32", every=True)
    assert len(everything.tensors) == len(list(graph.codes())) + 1


@pytest.mark.parametrize("layer", [1, 50, 98])
def test_a_damaged_layer_is_named_after_few_compiles(compiled, layer, tmp_path):
    graph, image, artifact, _ = compiled
    scale = graph.constants[f"ws{layer}"] * np.float32([1, 2, 1, 1])
    damaged = onnx.load(compiled[3] / artifact.model)
    onnx.save(with_constants(damaged, {f"ws{layer}": scale}), tmp_path / artifact.model)
    engine = Counted("ort", artifact, tmp_path)
    hop = check_engine("golden → ort", engine, graph, [image], "rne_f32")
    assert hop.first_beyond == f"y{layer}.q"
    assert len(engine.seen) < len(list(graph.codes())) / 2


@given(st.lists(st.integers(), min_size=1, max_size=400))
def test_segments_hold_every_tensor_once_in_order(tensors):
    parts = segments(tensors)
    assert [t for part in parts for t in part] == tensors
    assert len(parts) <= CUTS
