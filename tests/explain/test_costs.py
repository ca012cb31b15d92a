"""Layers joined with the graph, on layers written by hand."""

import pytest
from edgekd.explain.costs import Costs
from edgekd.explain.explain import AT_MOST, measured
from edgekd.explain.run import ideal
from edgekd.graph.executed import Ran, int8_proof
from edgekd.graph.reasons import Reason

from tests.explain.nets import net, op
from tests.graph.graphs import pair


def ran(name, precision="u8", ms=1.0, kind="QLinearConv", nodes=None):
    return Ran(name, kind, precision, ms, (name,) if nodes is None else nodes)


def costs(*layers, middle=None, channels=16):
    return Costs(net(middle or [op("Relu")], channels=channels), layers)


def test_a_fused_operator_belongs_to_the_layer_of_its_neighbour():
    """Relu runs in the first convolution, whichever of the two the engine names."""
    for name in ("first", "m", "y.q"):
        made = costs(ran(name), ran("second")).made
        assert made["first"].name == made["m"].name == name
        assert made["second"].name == "second"


def test_an_int8_time_is_judged_by_work():
    """`second` has twice the inputs of `first`: 16 against 8, at the same places; so twice the time of its rate."""
    found = costs(ran("first", ms=2.0), ran("second", "f32", ms=9.0)).int8_ms(net([op("Relu")]).maker["second"])
    assert found == (pytest.approx(4.0), "first")


def test_a_layer_is_not_judged_by_itself_nor_by_float():
    given = costs(ran("first", "f32", ms=2.0), ran("second", ms=9.0))
    assert given.int8_ms(given.graph.maker["second"]) is None
    assert given.int8_ms(given.graph.maker["first"]) == (pytest.approx(4.5), "second")


def test_channels_are_rounded_up_where_they_are_the_reason():
    """8 by 8 channels of `first` would be 16 by 16, twice the work of `second`, which has 8 inputs and 16 outputs."""
    given = costs(ran("first", ms=2.0), ran("second", ms=3.0), channels=8)
    assert given.int8_ms(given.graph.maker["first"], lanes=16) == (pytest.approx(6.0), "second")


def test_a_reason_takes_its_pairs_along():
    reason = Reason("float", "first", "why", "what to do", ("first", "m"))
    layers = (
        ran("first", "f32", 6.0, "Conv"), ran("x", ms=0.5, kind="DequantizeLinear"),
        ran("y.q", "f32", 0.25, "QuantizeLinear"), ran("second", ms=8.0),
    )  # fmt: skip
    [found] = measured(costs(*layers), [reason])
    assert (found.kind, found.layers, found.ms) == ("float layer", 3, 6.75)
    assert found.saving == pytest.approx(6.75 - 4.0)
    assert found.method == "at the rate of `second`"


def test_a_reason_that_did_not_come_true_is_dropped():
    reason = Reason("float", "first", "why", "what to do", ("first",))
    assert measured(costs(ran("first"), ran("second")), [reason]) == []


def test_a_float_layer_without_reason_is_told():
    [found] = measured(costs(ran("first", "f32", 3.0, "Conv"), ran("second", ms=1.0)), [])
    assert "no rule here tells why" in found.what


def test_an_island_is_one_finding():
    middle = [*pair("p", "first", "sm"), op("Sigmoid", ("p",), "g"), op("Tanh", ("g",), "m")]
    layers = (
        ran("first"), ran("p", ms=0.5, kind="DequantizeLinear"), ran("g", "f32", 2.0, "Sigmoid"),
        ran("m", "f32", 1.0, "Tanh"), ran("second"),
    )  # fmt: skip
    [found] = measured(costs(*layers, middle=middle), [])
    assert (found.kind, found.tensors, found.ms) == ("float island", ("g", "m"), 3.5)
    assert (found.saving, found.method) == (3.5, AT_MOST)


def test_layers_that_the_engine_added_are_layout():
    [found] = measured(costs(ran("first"), ran("second"), ran("t", ms=0.5, kind="Transpose", nodes=())), [])
    assert (found.kind, found.ms, found.saving) == ("layout", 0.5, None)


def test_a_layer_slower_than_its_float_twin():
    twin = costs(ran("first", "f32", 0.5, "Conv"), ran("second", "f32", 2.0, "Conv"))
    [found] = measured(costs(ran("first", ms=1.0), ran("second", ms=1.0)), [], twin)
    assert (found.tensor, found.saving) == ("first", 0.5)
    shares = costs(ran("first", ms=1.0), ran("second", ms=1.0)).shares(twin)
    assert [(s.what, s.layers, s.ms, s.float_ms) for s in shares] == [("weighted, int8, convolutions 3x3", 2, 2.0, 2.5)]


def test_each_layer_of_the_twin_counts_once_and_where_its_work_is():
    """A pair's second tensor has the name that the twin's convolution makes: its time is not the pair's."""
    layers = (
        ran("x", "f32", kind="QuantizeLinear"),
        ran("y", kind="DequantizeLinear"),
        ran("first", ms=1.0),
        ran("second", ms=2.0),
    )
    twin = costs(ran("first", "f32", 3.0, "Conv", ("first", "y")), ran("second", "f32", 4.0, "Conv"))
    shares = {s.what: s.float_ms for s in costs(*layers).shares(twin)}
    assert shares == {"weighted, int8, convolutions 3x3": 7.0, "quantize and dequantize": None}


def test_a_pair_that_two_findings_read_counts_once():
    """`x` is read by a float convolution and by an island beside it."""
    middle = [op("Tanh", ("x",), "t"), op("Add", ("t", "t"), "u"), *pair("v", "u", "sm"), op("Relu")]
    layers = (
        ran("x", ms=0.5, kind="DequantizeLinear"), ran("first", "f32", 3.0, "Conv"), ran("t", "f32", 1.0, "Tanh"),
        ran("u", "f32", 0.25, "Add"), ran("second"),
    )  # fmt: skip
    found = measured(costs(*layers, middle=middle), [Reason("float", "first", "why", "what to do", ("first",))])
    assert {f.kind for f in found} == {"float layer", "float island"}
    assert sum(f.ms for f in found) == pytest.approx(4.75)


@pytest.mark.parametrize(
    ("ms", "layers", "saved", "left"), [(10, 8, 3, 7), (2, 5.5, 2.75, 1), (10, 8, 12, 0), (1, 0, 0, 1)]
)
def test_what_is_left_is_a_part_of_the_whole(ms, layers, saved, left):
    """A profiler that doubles every layer does not double the saving."""
    assert ideal(ms, layers, saved) == pytest.approx(left)


def test_what_no_layer_tells_of_is_no_proof():
    """`second` has 16 inputs where `first` has 8: a third of the work is seen in int8."""
    graph = net([op("Relu")])
    proof = int8_proof(graph, [ran("first")])
    assert (proof["weighted layers"], proof["of them in int8"]) == (2, 1)
    assert proof["share of MACs in int8"] == pytest.approx(1 / 3, abs=1e-4)
