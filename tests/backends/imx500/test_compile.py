"""PicoSAM3's network to the kit: the integers of training, of the reference, of ONNX Runtime, of the dialect."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgekd.backends.base import Artifact, Firmware, FirmwareRequest, Job
from edgekd.backends.imx500.compile import Imx500, Imx500Options
from edgekd.backends.registry import backend
from edgekd.errors import ProblemsError
from edgekd.graph import golden
from edgekd.graph.model import Graph, code_limits, with_constants
from edgekd.quantize.export import trained_codes
from edgekd.runners import ort
from edgekd.verify.parity import compare

from tests.backends.imx500.pico import TARGET, crops, exported

INVENTORY = {
    "ActivationPOTQuantizer": 42, "WeightsSymmetricQuantizer": 31, "Conv": 31, "Relu": 21, "Resize": 4, "Add": 4,
    "GlobalAveragePool": 1, "Sigmoid": 1, "Mul": 1, "Constant": 35,
}  # fmt: skip
"""What MCT 2.6.1 itself exports for the same network."""


@pytest.fixture(scope="module")
def graph():
    return Graph(exported().model)


@pytest.fixture(scope="module")
def inputs():
    return [{"crop": crop[None].numpy()} for crop in crops(32)]


def job(graph: Graph, inputs) -> Job:
    traces = [golden.run(graph, x) for x in inputs]
    return Job(graph, graph, inputs, [{name: trace[name] for name in graph.outputs} for trace in traces])


def compiled(graph: Graph, inputs, out: Path) -> Artifact:
    artifact: Artifact = Imx500().compile(job(graph, inputs), Imx500Options(), out)
    return artifact


def test_the_network_is_taken_as_it_is_exported(graph):
    assert not golden.check(graph)
    assert not Imx500().check(graph, TARGET.engine)


def test_thresholds_are_powers_of_two_and_signs_are_structural(graph):
    types, thresholds = {}, {}
    for node in graph.codes():
        low, high = code_limits(graph.code_type(node))
        name = node.output[0].removesuffix(".q")
        types[name], thresholds[name] = low < 0, float(graph.scalar(node.input[1])) * (high + 1)
    assert all(np.frexp(t)[0] == 0.5 for t in thresholds.values())
    assert (types["crop"], thresholds["crop"]) == (True, 1.0)
    assert (types["gate/sigmoid"], thresholds["gate/sigmoid"]) == (False, 1.0)
    assert types["head.3"]  # logits
    unsigned = [name for name, signed in types.items() if not signed]
    assert len(unsigned) == 21 + 1 + 1  # ReLUs, the sigmoid, the neck's upsampling
    assert all("relu" in name or name in ("gate/sigmoid", "resize") for name in unsigned)


def test_integers_of_training_the_reference_and_onnx_runtime(graph, inputs, tmp_path):
    """Activations' scales are powers of two, weights' are not: float32 sums may differ by their order, nothing else.

    Each tensor within its bound from its own inputs; of all codes nearly all are equal.
    """
    onnx.save(graph.model, tmp_path / "graph.onnx")
    names = [node.output[0] for node in graph.codes()]
    session = ort.Session(tmp_path / "graph.onnx", expose=names, optimise=False)
    engine = [session.run(x) for x in inputs]
    trained = [trained_codes(exported().quantized, (crop[None],)) for crop in crops(32)]
    for hop, traces in (("training", trained), ("ONNX Runtime", engine)):
        assert compare(hop, graph, inputs, traces).first_beyond is None
        codes = [
            (traces[i][n], trace[n]) for i, trace in enumerate(golden.run(graph, x) for x in inputs) for n in names
        ]
        equal = sum(int((a == b).sum()) for a, b in codes) / sum(a.size for a, _ in codes)
        assert equal > 0.999, hop


def test_the_kit_holds_what_mct_would_export(graph, inputs, tmp_path):
    artifact = compiled(graph, inputs, tmp_path)
    assert (artifact.kind, artifact.backend, artifact.runner) == ("kit", "imx500", "imx")
    model = onnx.load(tmp_path / artifact.model)
    assert Counter(node.op_type for node in model.graph.node) == INVENTORY == artifact.facts["operators"]
    assert artifact.facts["dialect"].startswith(("100 % of", "not run: "))
    assert "of 8,388,480 bytes" in artifact.facts["memory"]["estimate"]


def test_the_dialect_s_own_operators_give_every_code(operators, graph, inputs, tmp_path):
    assert compiled(graph, inputs, tmp_path).facts["dialect"].startswith("100 % of")


def test_what_the_dialect_cannot_say_is_refused(inputs, graph, tmp_path):
    *_, last = graph.codes()
    odd = Graph(with_constants(graph.model, {last.input[1]: np.float32(0.3)}))
    with pytest.raises(ProblemsError, match="no power of two"):
        compiled(odd, inputs, tmp_path)


@pytest.mark.parametrize("persistent", [True, False])
def test_without_a_converter_its_firmware_is_a_kit_that_knows_the_input(
    graph, inputs, tmp_path, monkeypatch, persistent
):
    monkeypatch.delenv("EDGEKD_IMX500_CONVERTER", raising=False)
    Imx500().compile(job(graph, inputs), Imx500Options(persistent=persistent), tmp_path)
    maker = backend("imx500")
    assert isinstance(maker, Firmware)
    assert maker.firmware(tmp_path, tmp_path, FirmwareRequest()).kind == "kit"
    assert maker.loadable(tmp_path) is None
    assert ("--no-input-persistency" in (tmp_path / "convert.sh").read_text()) is not persistent
