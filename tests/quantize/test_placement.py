"""Where quantizers sit, on a residual block written out by hand."""

import pytest
from edgekd.quantize.placement import Op, nonnegative, place
from edgekd.schema.target import Placement
from edgekd.schema.targets import find_target

BLOCK = [
    Op("Conv", ("x",), "c1"), Op("Relu", ("c1",), "r1"), Op("Conv", ("r1",), "c2"),
    Op("Add", ("x", "c2"), "a"), Op("Relu", ("a",), "r2"), Op("Conv", ("r2",), "out"),
]  # fmt: skip


def values(target: str, ops=BLOCK, outputs=("out",)) -> set[str]:
    return set(place(ops, outputs, find_target(target).arithmetic.placement))


def test_tensorrt_and_openvino_leave_the_conv_before_the_add_alone():
    assert values("jetson") == {"x", "r1", "r2"}
    assert values("x86") == {"x", "r1", "r2", "out"}


def test_onnxruntime_quantizes_it():
    assert values("x86:onnxruntime") == {"x", "r1", "c2", "r2", "out"}


def test_a_conv_read_twice_is_not_fused():
    ops = [*BLOCK, Op("Conv", ("c2",), "other")]
    assert "c2" in values("jetson", ops, ("out", "other"))


def test_openvino_fuses_relu_too_but_tensorrt_does_not():
    ops = [Op("Conv", ("x",), "c"), Op("Relu", ("c",), "r"), Op("Add", ("x", "r"), "a"), Op("Conv", ("a",), "out")]
    assert "r" in values("jetson", ops)
    assert "r" not in values("x86", ops)


def test_operators_that_move_codes_share_the_scale():
    ops = [Op("Conv", ("x",), "c"), Op("Resize", ("c",), "u"), Op("Conv", ("u",), "out")]
    placed = place(ops, ("out",), find_target("jetson").arithmetic.placement)
    assert placed["u"] == placed["c"] == "c"


def test_a_layer_kept_in_float_asks_for_no_quantizer():
    policy = find_target("x86:onnxruntime").arithmetic.placement
    assert set(place(BLOCK, ("out",), policy, {"out"})) == {"x", "r1", "c2", "out"}
    assert set(place(BLOCK, ("out",), policy, {"c1", "c2", "out"})) == {"x", "c2", "out"}  # read by the Add


def test_what_only_moves_values_that_cannot_be_negative_cannot_be_either():
    ops = [
        Op("Relu", ("x",), "r"), Op("Sigmoid", ("x",), "s"), Op("MaxPool", ("r",), "p", moves=True),
        Op("Concat", ("p", "s"), "both", moves=True), Op("Concat", ("p", "x"), "mixed", moves=True),
        Op("Resize", ("r",), "bilinear"), Op("Clip", ("x",), "six", nonnegative=True), Op("Clip", ("x",), "c"),
        Op("Reshape", ("in",), "flat", moves=True),
    ]  # fmt: skip
    assert nonnegative(ops) == {"r", "s", "p", "both", "six"}
    assert nonnegative(ops, {"in"}) == {"r", "s", "p", "both", "six", "in", "flat"}


@pytest.mark.parametrize("name", ["jetson", "x86", "x86:onnxruntime", "raspberry-pi-5", "imx500"])
def test_every_operator_of_an_engine_has_its_place(name):
    """Quantized, moving codes, fused into what is quantized, or float: said for each, once."""
    engine = find_target(name).engine
    policy = engine.arithmetic.placement
    placed = {*policy.quantize, *policy.shared, *(op for chain in policy.fused for op in chain), *policy.stays_float}
    assert placed == set(engine.operators)
    assert not {*policy.stays_float} & {*policy.quantize, *policy.shared}


def test_a_chain_is_fused_as_a_whole_or_not_at_all():
    """`Conv, Relu, Add` says nothing of a Relu behind a MaxPool."""
    for first, fused in (("Conv", True), ("MaxPool", False)):
        ops = [Op(first, ("x",), "c"), Op("Relu", ("c",), "r"), Op("Add", ("x", "r"), "a"), Op("Conv", ("a",), "out")]
        assert ("r" not in values("x86", ops)) is fused


def test_a_range_that_a_kernel_fixes_must_hold_zero():
    with pytest.raises(ValueError, match=r"`ranges\.Tanh` does not hold 0"):
        Placement(quantize=("Tanh",), ranges={"Tanh": (0.5, 1.0)})
