"""The backend as the pipeline uses it: checks, one artifact, what it reports, the time of each layer."""

import numpy as np
import pytest
from edgekd.backends.base import Job, read_artifact
from edgekd.backends.registry import backend
from edgekd.graph import golden
from edgekd.graph.model import Graph, with_constants
from edgekd.pipeline import resolve, run
from edgekd.runners import tfl
from edgekd.schema.targets import find_target
from onnx import helper

from tests.backends.litert.nets import Net
from tests.conftest import TINY, shortened

ENGINE = find_target("raspberry-pi-5").engine


def net() -> Net:
    """Two convolutions, a gate and nearest upsampling."""
    made = Net(0, x=(1, 4, 8, 8))
    c = made.then("Conv", ["x.in", *made.weight("x.in", (4, 4, 3, 3), 0)], (1, 4, 8, 8), relu=1, pads=[1] * 4)
    g = made.then("Sigmoid", [c], (1, 4, 8, 8), grid=(1 / 256, -128))
    m = made.then("Mul", [c, g], (1, 4, 8, 8))
    size = made.ints((1, 4, 16, 16))
    up = made.then("Resize", [m, "", "", size], (1, 4, 16, 16), grid=m, coordinate_transformation_mode="asymmetric",
                   nearest_mode="floor")  # fmt: skip
    made.then("Conv", [up, *made.weight(up, (2, 4, 1, 1), 0)], (1, 2, 16, 16))
    return made


def compiled(graph, inputs, folder, **options):
    engine = backend("litert")
    assert engine.check(graph, ENGINE) == []
    return engine.compile(Job(graph, graph, [inputs], []), engine.Options(**options), folder)


@pytest.mark.parametrize("io", ["float", "int8"])
def test_an_artifact_tells_what_runs_where(io, tmp_path):
    made = net()
    graph, inputs = made.graph(), made.values()
    artifact = compiled(graph, inputs, tmp_path, io=io)
    assert (artifact.runner, artifact.observe) == ("tfl", "all")
    facts = artifact.facts
    assert facts["operators in int8"] == {"Conv": 2, "Mul": 1, "Resize": 1, "Sigmoid": 1}
    assert facts["operators in float"] == {}
    assert facts["operators"] == facts["of them in XNNPACK"]
    found = tfl.Session(tmp_path / artifact.model, **artifact.options).run(inputs)
    wanted = golden.run(graph, inputs)
    assert set(found) == set(graph.outputs)
    for name in graph.outputs:
        step = float(made.grids[name][0])
        assert np.abs(found[name] - wanted[name]).max() <= 1.01 * step


def test_observing_changes_no_answer(tmp_path):
    made = net()
    graph, inputs = made.graph(), made.values()
    artifact = compiled(graph, inputs, tmp_path)
    plain = tfl.Session(tmp_path / artifact.model, **artifact.options).run(inputs)
    names = [node.output[0] for node in graph.codes()]
    exposed = tfl.Session(tmp_path / artifact.model, names, **artifact.options).run(inputs)
    assert set(names) < set(exposed)
    for name in graph.outputs:
        np.testing.assert_array_equal(plain[name], exposed[name])


@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
def test_every_layer_is_timed_alone(kernels, tmp_path):
    made = net()
    graph, inputs = made.graph(), made.values()
    artifact = compiled(graph, inputs, tmp_path, kernels=kernels)
    layers = tfl.Session(tmp_path / artifact.model, **artifact.options).layers(inputs, 3)
    assert len(layers) == artifact.facts["operators"]
    assert all(layer["ms"] > 0 for layer in layers)
    convs = [name for layer in layers if layer["type"] == "CONV_2D" for name in layer["nodes"]]
    assert convs == [node.output[0] for node in graph.codes() if node.output[0].startswith("conv")]


def test_problems_are_named_before_anything_is_written():
    made = net()
    made.nodes.append(helper.make_node("Softplus", [list(made.shapes)[-1]], ["soft"]))
    made.quantize("end", "soft", (1, 2, 16, 16))
    graph = made.graph()
    weight = next(name for name in graph.constants if name.startswith("w") and graph.constants[name].ndim == 4)
    lowest = graph.constants[weight].copy()
    lowest.flat[0] = -128
    problems = backend("litert").check(Graph(with_constants(graph.model, {weight: lowest})), ENGINE)
    assert [p.where for p in problems] == ["soft", weight]
    assert "`Softplus`" in problems[0].message
    assert "-128" in problems[1].message


def test_unsigned_codes_are_refused():
    made = Net(0, x=(1, 4, 8, 8))
    graph = made.graph()
    unsigned = Graph(with_constants(graph.model, {"x.in.z": np.uint8(3)}))
    problems = backend("litert").check(unsigned, ENGINE)
    assert [p.message for p in problems] == ["the codes `x.in.q` are not int8 with one scale"]


def test_the_default_student_goes_through_the_whole_run(store):
    """Every hop inside its bounds, every gate held, all operators int8."""
    result = run(*resolve(shortened(store, "qdr"), "raspberry-pi-5", TINY), store)
    assert not result.verification.failures
    facts = read_artifact(result.bundle.path / "artifacts" / "litert").facts
    assert facts["operators in float"] == {}
    assert "integer reference → litert" in [hop.name for hop in result.verification.hops]
