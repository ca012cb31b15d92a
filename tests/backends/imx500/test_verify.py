"""A written file in mct-quantizers' own operators, in the environment that is fetched for them."""

import numpy as np
import onnx
import pytest
from edgekd.backends.imx500.dialect import write
from edgekd.backends.imx500.verify import check, expected, traces
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.toolchains.lock import find_lock
from onnx import numpy_helper

from tests.backends.imx500.nets import SensorBuilder, crops, gated, untrained
from tests.graph.random_graphs import KINDS


@pytest.mark.parametrize("real", [False, True])
def test_every_code_of_a_written_file_is_that_of_the_portable_graph(operators, real):
    graph, inputs = gated(real=real), crops()
    wanted = expected(graph, inputs)
    verdict = check(write(graph), inputs, wanted)
    assert verdict.holds
    assert verdict.codes == sum(codes.size for trace in wanted for codes in trace.values())
    assert str(verdict).startswith(f"100 % of {verdict.codes:,} codes equal in mct-quantizers 1.6.0")
    if not real:  # all scales powers of two: exact, whoever sums
        assert check(write(graph), inputs, [golden.run(graph, x) for x in inputs]).holds


def test_every_code_of_picosam3_is_that_of_the_portable_graph(operators):
    inputs = crops(1, size=32)
    verdict = check(write(untrained()), inputs, expected(untrained(), inputs))
    assert verdict.holds
    assert verdict.codes > 50_000


def test_every_operator_is_that_of_the_integer_reference(operators):
    """All scales are powers of two, so sums are exact."""
    builder = SensorBuilder(np.random.default_rng(7), True)
    builder.quantize("image", builder.shape)
    for kind in KINDS:
        builder.apply(kind)
    graph = builder.graph()
    inputs = [{"image": np.random.default_rng(8).normal(0, 1, builder.shape).astype(np.float32)}]
    verdict = check(write(graph), inputs, [golden.run(graph, x) for x in inputs])
    assert verdict.holds, verdict
    assert len(list(graph.codes())) == 1 + len(KINDS)


def test_a_code_that_differs_is_counted_and_its_tensor_named(operators):
    graph, inputs = gated(), crops(1)
    wanted = expected(graph, inputs)
    wanted[0]["s.q"] = wanted[0]["s.q"].copy()
    wanted[0]["s.q"][0, 0, 0, :2] ^= 1
    verdict = check(write(graph), inputs, wanted)
    assert verdict.holds is False
    assert (verdict.codes - verdict.equal, verdict.first) == (2, "s.q")
    assert "99." in str(verdict)


def test_a_wrong_threshold_is_found_where_it_lies(operators):
    graph, inputs = gated(), crops(1)
    model = write(graph)
    node = next(node for node in model.graph.node if node.name == "d.q")
    next(a for a in node.attribute if a.name == "threshold").f *= 2
    assert check(model, inputs, expected(graph, inputs)).first == "d.q"


def test_a_tensor_that_the_file_lacks_differs_everywhere(operators):
    verdict = check(write(gated()), crops(1), [{"gone.q": np.zeros(7, np.int8), "logits": np.zeros(3, np.float32)}])
    assert (verdict.codes, verdict.equal, verdict.first) == (7, 0, "gone.q")


def test_operators_that_fail_are_told_not_raised(operators):
    model = write(gated())
    node = next(node for node in model.graph.node if node.name == "last.weight_codes")
    kept = [a for a in node.attribute if a.name != "per_channel"]  # read as 0; the operator insists on it
    del node.attribute[:]
    node.attribute.extend(kept)
    verdict = check(model, crops(1), expected(gated(), crops(1)))
    assert verdict.holds is None
    assert "end the process" in str(verdict)


def test_a_threshold_that_would_end_the_process_is_told_before():
    model = write(gated())
    node = next(node for node in model.graph.node if node.name == "first.weight.threshold")
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32)))
    assert "a threshold is no positive number" in str(check(model, crops(1), [{}]))


def test_without_the_environment_the_verdict_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    verdict = check(write(gated()), crops(1), [{}])
    assert verdict.holds is None
    assert str(verdict).endswith("edgekd fetch imx500-verify")


def test_batches_are_free(operators):
    graph, (a, b) = gated(), crops(2)
    both = {"input": np.concatenate([a["crop"], b["crop"]])}
    (found,), _ = traces(write(graph), [both])
    assert np.array_equal(found["logits.q"], np.concatenate([t["logits.q"] for t in expected(graph, [a, b])]))


def test_the_lock_has_wheels_of_both_machines():
    lock = {requirement.name: requirement for requirement in find_lock("imx500-verify").requirements}
    assert "onnx" not in lock  # the file is written and read outside
    assert len(lock["onnxruntime"].sha256) == len(lock["numpy"].sha256) == 6  # three Pythons, two machines
    assert len(lock["mct-quantizers"].sha256) == 1


def test_the_graph_given_is_not_changed():
    graph = gated()
    before = graph.model.SerializeToString()
    write(Graph(onnx.ModelProto.FromString(before)))
    assert graph.model.SerializeToString() == before
