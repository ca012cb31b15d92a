"""Properties over random graphs in power-of-two arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
from edgekd.graph import golden
from edgekd.graph.model import Graph, code_bits
from edgekd.graph.rewrite import (
    copied_upsampling,
    fill_channels,
    float_biases,
    half_floats,
    integer_biases,
    pack_weights,
    signed_activations,
    unpack_weights,
    unsigned_activations,
    with_opset,
)
from hypothesis import given, settings
from onnx import TensorProto

from tests.graph.ort import reference
from tests.graph.random_graphs import graphs

FEW = settings(max_examples=40, deadline=None)


def equal(a, b, offset=0):
    """Traces of a graph and of its rewrite; codes of the rewrite are `offset` higher."""
    assert a.keys() == b.keys()
    for name, value in a.items():
        moved = offset if name.endswith(".q") else 0
        np.testing.assert_array_equal(value.astype(float) + moved, b[name].astype(float), err_msg=name)


def valid(model: onnx.ModelProto) -> Graph:
    onnx.checker.check_model(model, full_check=True)
    return Graph(model)


@settings(max_examples=120, deadline=None)
@given(graphs())
def test_golden_equals_onnx_runtime(drawn):
    graph, image = drawn
    names = [node.output[0] for node in graph.codes()]
    equal(golden.run(graph, image), reference(graph, image, names))


@FEW
@given(graphs())
def test_activations_change_their_type_and_back(drawn):
    graph, image = drawn
    there, back = unsigned_activations, signed_activations
    if graph.constants["t0.z"].dtype == np.uint8:
        there, back = back, there
    sign = 1 if there is unsigned_activations else -1
    before = graph.model.SerializeToString()
    moved = valid(there(graph))
    own, trace = golden.run(graph, image), golden.run(moved, image)
    assert {trace[n.output[0]].dtype.kind for n in moved.codes()} == {"u" if sign > 0 else "i"}
    equal(own, trace, 128 * sign)
    equal(own, golden.run(valid(back(moved)), image))
    names = [node.output[0] for node in graph.codes()]
    equal(trace, reference(moved, image, names))
    assert graph.model.SerializeToString() == before


@FEW
@given(graphs())
def test_biases_become_float_and_integer_again(drawn):
    graph, image = drawn
    floating = valid(float_biases(graph))
    back = valid(integer_biases(floating))
    assert not [a for a in floating.constants.values() if a.dtype == np.int32]
    assert sorted(a.tolist() for a in back.constants.values() if a.dtype == np.int32) == sorted(
        a.tolist() for a in graph.constants.values() if a.dtype == np.int32
    )
    for other in (floating, back):
        equal(golden.run(graph, image), golden.run(other, image))


@FEW
@given(graphs(weight_limit=7))
def test_weights_are_packed_and_unpacked(drawn):
    graph, image = drawn
    packed = valid(pack_weights(graph))
    back = valid(unpack_weights(packed))
    weights = {n: a for n, a in graph.constants.items() if n.startswith("w") and a.dtype == np.int8}
    assert len(weights) == sum(code_bits(a.dtype) == 4 for a in packed.constants.values())
    equal(golden.run(graph, image), golden.run(packed, image))
    equal(golden.run(graph, image), golden.run(back, image))
    assert sorted(a.tolist() for a in back.constants.values() if a.dtype == np.int8 and a.ndim) == sorted(
        a.tolist() for a in weights.values()
    )


@FEW
@given(graphs())
def test_opsets(drawn):
    graph, image = drawn
    for version in (19, 20, 23, 25):
        other = valid(with_opset(graph, version))
        assert other.opset == version
        equal(golden.run(graph, image), golden.run(other, image))


@FEW
@given(graphs())
def test_what_is_quantized_stays_when_the_rest_is_halved(drawn):
    """In these graphs every operator works on codes."""
    graph, image = drawn
    halved = valid(half_floats(graph))
    assert [n.op_type for n in halved.nodes] == [n.op_type for n in graph.nodes]
    equal(golden.run(graph, image), golden.run(halved, image))


@FEW
@given(graphs())
def test_everything_between_inputs_and_outputs_is_halved(drawn):
    """Scales too. What an operator reads is rounded to 11 bits, so that a code may flip to the next; casts stand at the
    ends alone."""
    graph, image = drawn
    halved = valid(half_floats(graph, pairs=True))
    kept = {*halved.inputs, *halved.outputs}
    assert TensorProto.FLOAT not in {kind for name, kind in halved.types.items() if name not in kept}
    casts = [node for node in halved.nodes if node.op_type == "Cast"]
    assert all(kept & {*node.input, *node.output} for node in casts)
    assert [n.op_type for n in halved.nodes if n not in casts] == [n.op_type for n in graph.nodes]
    outputs = reference(halved, image)
    assert all(out.dtype == np.float32 and np.isfinite(out).all() for out in outputs.values())


def kept(graph: Graph, made: Graph, image, true):
    """Every tensor of codes is still there, with the same codes in its own channels."""
    names = [node.output[0] for node in graph.codes()]
    a, b = golden.run(graph, image), reference(made, image, names)
    for name in names + graph.outputs:
        own = b[name][:, : true[name]] if name in true else b[name]
        np.testing.assert_array_equal(a[name], own, err_msg=name)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_filled_channels_keep_every_code(drawn):
    graph, image = drawn
    model, true = fill_channels(graph, lanes=8, least=2, inputs=4)
    kept(graph, valid(model), image, true)


@FEW
@given(graphs())
def test_copied_upsampling_keeps_every_code(drawn):
    graph, image = drawn
    kept(graph, valid(copied_upsampling(graph)), image, {})
