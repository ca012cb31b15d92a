"""Hops: equal traces pass, a changed tensor is named, and only it."""

import numpy as np
import onnx
import pytest
from edgekd.graph import golden
from edgekd.graph.golden import run
from edgekd.graph.model import IO_KEY, Graph, with_constants
from edgekd.schema.io import TensorOutput
from edgekd.verify.parity import compare

from tests.graph.graphs import build, conv_graph

RNG = np.random.default_rng(2)
GRAPH = conv_graph(RNG, size=32)
IMAGE = {"image": RNG.normal(0, 1, (1, 4, 32, 32)).astype(np.float32)}


def test_equal_traces():
    hop = compare("a → b", GRAPH, [IMAGE], [run(GRAPH, IMAGE)])
    assert hop.first_beyond is None
    assert (hop.equal, hop.largest) == (1.0, 0)
    assert [t.tensor for t in hop.tensors] == ["x.q", "y.q", "restored"]
    assert [t.operator for t in hop.tensors] == ["input", "Conv", "Identity"]
    assert {row["operator"]: row["codes"] for row in hop.by_operator()}["Conv"] == hop.tensors[1].size


@pytest.mark.parametrize(("constant", "tensor"), [("ws", "y.q"), ("b", "y.q"), ("s", "x.q")])
def test_a_changed_constant_is_blamed_on_the_tensor_it_makes(constant, tensor):
    value = GRAPH.constants[constant].copy()
    if value.ndim:
        value[1] = value[1] * 1.5 + (3000 if value.dtype == np.int32 else 0)
    else:
        value = np.float32(value * 1.1)
    damaged = Graph(with_constants(GRAPH.model, {constant: value}))
    hop = compare("a → b", GRAPH, [IMAGE], [run(damaged, IMAGE)])
    assert hop.first_beyond == tensor


def test_a_single_flip_by_one_is_harmless_but_two_codes_are_not():
    trace = golden.run(GRAPH, IMAGE)
    flipped = {"x.q": trace["x.q"], "y.q": trace["y.q"].copy()}
    inner = np.argwhere((flipped["y.q"] > 0) & (flipped["y.q"] < 100))[0]
    flipped["y.q"][tuple(inner)] += 1
    assert compare("a → b", GRAPH, [IMAGE], [flipped]).first_beyond is None
    flipped["y.q"][tuple(inner)] += 1
    assert compare("a → b", GRAPH, [IMAGE], [flipped]).first_beyond == "y.q"
    assert compare("a → b", GRAPH, [IMAGE], [flipped], beyond_one=1e-3).first_beyond is None


def test_where_a_rounding_is_exact_one_flip_is_beyond():
    trace = golden.run(GRAPH, IMAGE, rounding="tfl_double")
    assert compare("a → b", GRAPH, [IMAGE], [trace], rounding="tfl_double").equal == 1.0
    flipped = {**trace, "y.q": trace["y.q"].copy()}
    flipped["y.q"].flat[np.argmin(flipped["y.q"])] += 1
    assert compare("a → b", GRAPH, [IMAGE], [flipped], rounding="tfl_double").first_beyond == "y.q"


def test_an_output_that_is_no_picture_has_steps_of_its_own_range():
    """A 127th of the largest value is a step: half of the places moved by 1.6 of them are beyond, by 0.02 are not."""
    io = GRAPH.io.model_copy(update={"outputs": (TensorOutput(name="restored"),)})
    model = onnx.ModelProto()
    model.CopyFrom(GRAPH.model)
    onnx.helper.set_model_props(model, {IO_KEY: io.model_dump_json()})
    trace = golden.run(GRAPH, IMAGE)
    step = np.abs(trace["restored"]).max() / 127
    for steps, beyond in ((1.6, "restored"), (0.02, None)):
        moved = trace["restored"].copy()
        moved.ravel()[::2] += np.float32(steps * step)
        assert compare("a → b", Graph(model), [IMAGE], [{**trace, "restored": moved}]).first_beyond == beyond


def test_outputs_that_are_not_numbers_are_beyond():
    trace = golden.run(GRAPH, IMAGE)
    broken = {**trace, "restored": np.full_like(trace["restored"], np.nan)}
    assert compare("a → b", GRAPH, [IMAGE], [broken]).first_beyond == "restored"


@pytest.mark.parametrize("tensor", ["x.q", "y.q"])
def test_codes_that_a_trace_lacks_are_beyond(tensor):
    """In one of two traces as in all."""
    whole = golden.run(GRAPH, IMAGE)
    part = {name: value for name, value in whole.items() if name != tensor}
    for traces in ([part], [whole, part]):
        hop = compare("a → b", GRAPH, [IMAGE] * len(traces), traces)
        assert hop.first_beyond == tensor
        assert hop.equal < 1
        assert [t.tensor for t in hop.tensors] == ["x.q", "y.q", "restored"]
    assert [t.operator for t in hop.tensors] == ["input", "Conv", "Identity"]
    assert {row["operator"]: row["codes"] for row in hop.by_operator()}["Conv"] == hop.tensors[1].size


def test_float_outputs_may_lack_beside_codes_but_nothing_is_no_comparison():
    trace = golden.run(GRAPH, IMAGE)
    codes = {name: value for name, value in trace.items() if name != "restored"}
    assert compare("a → b", GRAPH, [IMAGE], [codes]).first_beyond is None
    assert compare("a → b", GRAPH, [IMAGE] * 2, [codes, trace]).first_beyond == "restored"
    assert compare("a → b", GRAPH, [IMAGE], [{}]).equal == 0
    floats = build([onnx.helper.make_node("Relu", ["image"], ["restored"])], {}, (1, 3, 4, 4), (1, 3, 4, 4))
    image = {"image": IMAGE["image"][:, :3, :4, :4]}
    assert compare("a → b", floats, [image], [{}]).first_beyond == "restored"
    assert compare("a → b", floats, [image], [golden.run(floats, image)]).first_beyond is None
