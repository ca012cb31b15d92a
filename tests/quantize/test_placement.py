"""Where quantizers sit, on a residual block written out by hand."""

from edgekd.quantize.placement import Op, place
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
