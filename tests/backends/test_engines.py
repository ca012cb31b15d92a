"""OpenVINO and ONNX Runtime really compile and run, and answer as the integer reference does."""

import numpy as np
import pytest
from edgekd.backends.base import Job, read_artifact
from edgekd.backends.registry import backend, is_installed
from edgekd.devices.local import open_session
from edgekd.errors import MissingError, RequestError
from edgekd.graph import golden
from edgekd.verify.engines import LocalEngine, traces

from tests.cpu import int8_in_openvino
from tests.graph.graphs import build, conv_graph, pair

RNG = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("name", "options"), [("openvino", {}), ("onnxruntime", {"optimise": False}), ("onnxruntime", {})]
)
def test_compile_run_and_expose(name, options, tmp_path):
    graph = conv_graph(RNG, dtype=np.uint8, zero=7, channels=8)
    image = RNG.normal(0, 1, (1, 8, 8, 8)).astype(np.float32)
    engine = backend(name)
    artifact = engine.compile(Job(graph, graph, [{"image": image}], []), engine.Options(**options), tmp_path)
    want = golden.run(graph, {"image": image})
    session = open_session(artifact.runner, tmp_path / artifact.model, artifact.options)
    out = session.run({"image": image})
    assert "restored" in out
    assert "x.q" not in out
    codes = np.rint(out["restored"] / 0.05) - np.rint(want["restored"] / 0.05)
    assert np.abs(codes).max() <= 1
    exposed = open_session(artifact.runner, tmp_path / artifact.model, artifact.options, ["x.q"]).run({"image": image})
    assert exposed["x.q"].dtype == np.uint8
    np.testing.assert_array_equal(exposed["x.q"], want["x.q"])


def test_unsigned_codes_are_told_as_the_graph_has_them(tmp_path):
    """ONNX Runtime is given uint8 activations; what is compared is int8 again, every code of it."""
    graph = conv_graph(RNG, channels=8, x_scale=2.0**-6, w_scale=np.full(8, 2.0**-7, np.float32), y_scale=2.0**-4)
    image = {"image": RNG.normal(0, 1, (1, 8, 8, 8)).astype(np.float32)}
    engine = backend("onnxruntime")
    artifact = engine.compile(Job(graph, graph, [image], []), engine.Options(unsigned=True), tmp_path)
    assert artifact.code_offset == 128
    exposed = open_session(artifact.runner, tmp_path / artifact.model, artifact.options, ["y.q"]).run(image)
    assert exposed["y.q"].dtype == np.uint8
    (found,), want = traces(LocalEngine("", artifact, tmp_path), [image], ["x.q", "y.q"]), golden.run(graph, image)
    for name in ("x.q", "y.q", "restored"):
        np.testing.assert_array_equal(found[name], want[name])


@int8_in_openvino
def test_openvino_proves_what_runs_in_int8(tmp_path):
    graph = conv_graph(RNG, dtype=np.uint8, channels=8)
    engine = backend("openvino")
    image = np.zeros((1, 8, 8, 8), np.float32)
    artifact = engine.compile(Job(graph, graph, [{"image": image}], []), engine.Options(), tmp_path)
    assert artifact.facts == {
        "weighted layers": 1, "of them in int8": 1, "share of MACs in int8": 1.0, "in float": [],
        "devices": "CPU", "device names": artifact.facts["device names"],
    }  # fmt: skip
    assert artifact.facts["device names"]


def test_unknown_backend_and_missing_record(tmp_path):
    with pytest.raises(RequestError) as error:
        backend("openvin")
    assert error.value.hint == "did you mean `openvino`?"
    assert is_installed("tensorrt")
    with pytest.raises(MissingError):
        read_artifact(tmp_path)


def test_only_what_was_moved_is_told_lower(tmp_path):
    """int8 codes behind uint8 ones: the first are moved, the others are uint8 in both graphs."""
    constants = {"s": np.float32(2**-6), "z": np.int8(3), "zu": np.uint8(100)}
    nodes = [*pair("x", "image", "s", "zu"), *pair("restored", "x")]
    graph = build(nodes, constants, (1, 3, 4, 4), (1, 3, 4, 4))
    image = {"image": RNG.normal(0, 0.5, (1, 3, 4, 4)).astype(np.float32)}
    engine = backend("onnxruntime")
    options = engine.Options(unsigned=True, optimise=False)
    artifact = engine.compile(Job(graph, graph, [image], []), options, tmp_path)
    assert artifact.moved == ("restored.q",)
    (found,), want = (
        traces(LocalEngine("", artifact, tmp_path), [image], ["x.q", "restored.q"]),
        golden.run(graph, image),
    )
    for name in ("x.q", "restored.q", "restored"):
        assert found[name].dtype == want[name].dtype
        np.testing.assert_array_equal(found[name], want[name])


def test_an_absent_openvino_device_is_told_with_those_there_are(tmp_path):
    graph, engine = conv_graph(RNG), backend("openvino")
    job = Job(graph, graph, [{"image": np.zeros((1, 4, 8, 8), np.float32)}], [])
    with pytest.raises(MissingError, match="no device `NPU9`") as error:
        engine.compile(job, engine.Options(device="NPU9"), tmp_path)
    assert "`CPU`" in error.value.hint


def test_onnxruntime_proves_what_runs_in_int8(tmp_path):
    graph, engine = conv_graph(RNG, dtype=np.uint8, channels=8), backend("onnxruntime")
    job = Job(graph, graph, [{"image": np.zeros((1, 8, 8, 8), np.float32)}], [])
    facts = engine.compile(job, engine.Options(), tmp_path).facts
    assert (facts["of them in int8"], facts["in float"], facts["operators"]["QLinearConv"]) == (1, [], 1)


def test_fitted_graphs_give_every_code_in_its_own_channels(tmp_path):
    """Channels are filled up for the kernels; what is given out has the graph's own number of them."""
    graph, engine = conv_graph(RNG, dtype=np.uint8, channels=8, x_scale=2.0**-6, y_scale=2.0**-4,
                               w_scale=np.full(8, 2.0**-7, np.float32)), backend("onnxruntime")  # fmt: skip
    image = {"image": RNG.normal(0, 1, (1, 8, 8, 8)).astype(np.float32)}
    artifact = engine.compile(Job(graph, graph, [image], []), engine.Options(fit=True), tmp_path)
    want, [found] = golden.run(graph, image), traces(LocalEngine("fitted", artifact, tmp_path), [image], ["x.q", "y.q"])
    for name in ("x.q", "y.q", "restored"):
        np.testing.assert_array_equal(found[name], want[name])


def test_a_name_that_an_operator_has_is_not_given_again(tmp_path):
    """An operator without a name gets its tensor's, which may be another operator's name already."""
    graph = conv_graph(RNG, dtype=np.uint8, zero=7, channels=8)
    graph.model.graph.node[-1].name, graph.model.graph.node[0].name = "", graph.model.graph.node[-1].output[0]
    engine = backend("onnxruntime")
    engine.compile(Job(graph, graph, [{"image": np.zeros((1, 8, 8, 8), np.float32)}], []), engine.Options(), tmp_path)
