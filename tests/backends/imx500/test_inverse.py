"""Files of the dialect by others: thresholds anywhere, copies of constants, float biases, other bits, other opsets."""

import numpy as np
import onnx
import pytest
from edgekd.backends.imx500.dialect import DOMAIN, write
from edgekd.backends.imx500.inverse import is_dialect, read
from edgekd.errors import ProblemsError
from edgekd.graph import golden
from edgekd.graph.model import Graph, with_batch
from edgekd.verify.foreign import opened, verify_foreign
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.backends.imx500.nets import crops, gated
from tests.graph.ort import reference

WEIGHTS = {"num_bits": 8, "per_channel": 1, "channel_axis": 0, "signed": 1, "mctq_version": "1.7.0"}


def act(x, y, threshold, signed=1, bits=8, kind="ActivationPOTQuantizer", name=""):
    attrs = {"threshold": float(threshold), "signed": signed, "num_bits": bits, "mctq_version": "1.7.0"}
    return helper.make_node(kind, [x], [y], name=name, domain=DOMAIN, **attrs)


def weight(w, t, y, kind="WeightsSymmetricQuantizer", **attrs):
    return helper.make_node(kind, [w, t], [y], name=f"/{y}", domain=DOMAIN, **(WEIGHTS | attrs))


def constant(name, value):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value, np.float32)))


def model_of(nodes, initializers=(), opset=20, shape=("batch_size", 1, 2, 2)):
    graph = helper.make_graph(
        nodes, "main_graph", [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in dict(initializers).items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    return model


def ran(model, x):
    """The output in ONNX Runtime, nothing optimised."""
    return reference(with_batch(Graph(model), 1), {"input": x})["output"]


def rounded(x, threshold, bits, signed):
    """mct-quantizers' formula, in numpy."""
    step = threshold / 2 ** (bits - 1 if signed else bits)
    return np.round(np.clip(x, -threshold if signed else 0, threshold - step) / step) * step


@settings(deadline=None)
@given(st.integers(-6, 6), st.sampled_from([0, 1]), st.sampled_from([8, 16]), st.integers(0, 2**16))
def test_an_activation_rounds_as_its_formula_does(exponent, signed, bits, seed):
    threshold, rng = 2.0**exponent, np.random.default_rng(seed)
    x = rng.uniform(-1.5, 1.5, (1, 1, 2, 2)).astype(np.float32) * threshold
    x[0, 0, 0] = threshold / 2**bits * rng.integers(-9, 9, 2)  # also ties
    model = read(model_of([act("input", "output", threshold, signed, bits)]))
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(ran(model, x), rounded(x, threshold, bits, signed).astype(np.float32))


def test_a_threshold_that_is_no_power_of_two_is_read_too():
    x = np.linspace(-2, 2, 4, dtype=np.float32).reshape(1, 1, 2, 2)
    model = read(model_of([act("input", "output", 0.7, kind="ActivationSymmetricQuantizer")]))
    assert np.allclose(ran(model, x), rounded(x, 0.7, 8, True), atol=1e-6)


def convolution(threshold=(0.5,), w=((-0.5, 0.496, 0.2),), bias=None, copies=False, as_initializer=False, **attrs):
    """input -> quantizer -> 1x1 convolutions of three weights, one after the other picked by kernel -> quantizer."""
    w = np.asarray(w, np.float32).reshape(1, 1, 1, -1)
    nodes = [act("input", "x", 1.0), *([] if as_initializer else [constant("t", threshold)])]
    initializers = {"w": w} | ({"t": threshold} if as_initializer else {}) | ({} if bias is None else {"b": bias})
    if copies:
        nodes += [helper.make_node("Identity", [n], [f"{n}.copy"]) for n in initializers if n != "t"]
    tail = ".copy" if copies else ""
    reads = ["x", "wq"] + ([] if bias is None else ["b" + tail])
    nodes += [weight("w" + tail, "t", "wq", **attrs), helper.make_node("Conv", reads, ["c"], pads=[0, 1, 0, 1]),
              act("c", "output", 1.0)]  # fmt: skip
    return model_of(nodes, initializers)


@pytest.mark.parametrize("as_initializer", [False, True])
@pytest.mark.parametrize("copies", [False, True])
def test_a_kernel_becomes_codes_wherever_its_threshold_lies(as_initializer, copies):
    graph = Graph(read(convolution(as_initializer=as_initializer, copies=copies)))
    assert graph.constants["/wq"].tolist() == [[[[-128, 127, 51]]]]  # 0.2 / 2^-8 = 51.2
    assert graph.constants["/wq.scale"].tolist() == [2.0**-8]
    assert not [node for node in graph.nodes if node.op_type in ("Constant", "Identity")]


def test_fewer_bits_and_one_threshold_for_all():
    graph = Graph(read(convolution(num_bits=4, per_channel=0)))
    assert graph.constants["/wq"].tolist() == [[[[-8, 7, 3]]]]  # steps of 1/16
    assert graph.constants["/wq.scale"].shape == ()


def test_a_bias_on_its_grid_becomes_integers_and_another_stays():
    step = 2.0**-7 * 2.0**-8
    on, off = (Graph(read(convolution(bias=[value]))) for value in (77 * step, 0.3))
    assert on.constants["c.bias.codes"].tolist() == [77]
    assert off.constants["b"].tolist() == [np.float32(0.3)]
    x = np.float32([[[[0.5, -1], [0.25, 0.1]]]])
    real = rounded(x, 1.0, 8, True)[..., [0, 1]]
    padded = np.pad(real, ((0, 0), (0, 0), (0, 0), (1, 1)))
    taps = np.float32([-0.5, 127 / 256, 51 / 256])
    sums = sum(taps[i] * padded[..., i : i + 2] for i in range(3)) + np.float32(0.3)
    assert np.array_equal(ran(off.model, x), rounded(sums, 1.0, 8, True).astype(np.float32))


def test_codes_are_named_after_nodes_that_have_a_name_of_their_own():
    nodes = [act("input", "a", 1.0, name="/first"), act("a", "b", 1.0), act("b", "c", 1.0, name="b"),
             act("c", "output", 1.0, name="/first")]  # fmt: skip
    graph = Graph(read(model_of(nodes)))
    assert [node.output[0] for node in graph.codes()] == ["/first", "b.q", "c.q", "output.q"]


def test_names_come_back_from_our_own_files():
    graph = Graph(read(write(gated())))
    assert [node.output[0] for node in graph.codes()] == [node.output[0] for node in gated().codes()]
    assert graph.constants["first.weight_codes"].dtype == np.int8


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("ActivationUniformQuantizer", ["input"], ["output"], domain=DOMAIN, min_range=-1.0,
                          max_range=1.0, num_bits=8), "no symmetric quantizer"),
        (act("input", "output", 1.0, bits=5), "5 bits"),
        (act("input", "output", -1.0), "no positive number"),
        (weight("input", "input", "output"), "is computed"),
    ],
)  # fmt: skip
def test_what_is_no_pair_is_named(node, words):
    with pytest.raises(ProblemsError, match=words) as error:
        read(model_of([node]))
    assert error.value.problems[0].where == "output"


def test_unsigned_weights_are_not_read():
    with pytest.raises(ProblemsError, match="weights are unsigned"):
        read(convolution(signed=0))


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_kernel_s_threshold_that_is_not_positive_is_told(limit):
    with pytest.raises(ProblemsError, match="threshold is no positive number"):
        read(convolution(threshold=[limit]))


def test_thresholds_must_fit_the_channels():
    with pytest.raises(ProblemsError, match="3 thresholds for 1 channels"):
        read(convolution(threshold=[0.5, 0.5, 0.5]))


def test_only_files_of_the_dialect_are_read_so():
    assert is_dialect(write(gated()))
    assert not is_dialect(gated().model)


def test_a_file_is_verified_like_any_other(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    onnx.save(write(gated()), tmp_path / "net.onnx")
    with opened(tmp_path / "net.onnx") as found:
        assert found.graph.io.inputs[0].name == "input"
        hops, gates = verify_foreign(found)
    assert [hop.name for hop in hops] == ["integer reference → onnxruntime, unoptimised"]
    assert len(hops[0].tensors) == 11  # ten tensors of codes and the output
    assert gates[0].held
    assert "edgekd fetch imx500-verify" in {note.hint for note in found.notes}


def test_its_own_operators_are_asked_where_they_are(tmp_path, operators):
    onnx.save(write(gated()), tmp_path / "net.onnx")
    with opened(tmp_path / "net.onnx") as found:
        hop = verify_foreign(found)[0][-1]
    assert hop.name == "integer reference → mct-quantizers"
    assert len(hop.tensors) == 10
    assert hop.first_beyond is None


def test_the_integer_reference_runs_what_was_read():
    graph = with_batch(Graph(read(write(gated(real=False)))), 1)
    for x in crops():
        wanted = golden.run(gated(real=False), x)
        found = golden.run(graph, {"input": x["crop"]})
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted if name.endswith(".q"))
