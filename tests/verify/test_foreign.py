"""Files quantized elsewhere go through the same checks."""

import json

import flatbuffers
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from edgekd.errors import ProblemsError, RequestError
from edgekd.graph.model import Graph, read_model, with_constants
from edgekd.graph.records import guess_record
from edgekd.graph.rewrite import without_pairs
from edgekd.schema.io import ImageInput, TensorInput
from edgekd.verify.foreign import opened, verify_foreign
from onnxruntime.quantization import QuantFormat

from tests.backends.litert.test_read import classifier
from tests.graph.graphs import build, pair
from tests.verify.foreign_models import SHAPE, Pictures, float_net, quantized


@pytest.mark.parametrize("unsigned", [True, False])
def test_what_onnx_runtime_quantized_is_verified(tmp_path, unsigned):
    with opened(quantized(tmp_path, unsigned=unsigned, bits=8)) as found:
        hops, gates = verify_foreign(found)
    assert [hop.name.rpartition("→ ")[2] for hop in hops] == ["onnxruntime, unoptimised", "onnxruntime", "openvino"]
    assert len(hops[0].tensors) > 5
    assert hops[0].equal > 0.999
    assert all(gate.held for gate in gates[:2])


def test_the_verb_names_a_damaged_tensor_and_ends_with_1(tmp_path, cli):
    path = quantized(tmp_path)
    good = cli("verify", path)
    assert good.returncode == 0, good.stderr
    assert "random inputs" in good.stdout
    assert "guessed: `image` in [0, 1" in good.stdout
    report = json.loads(cli("verify", path, "--json").stdout)
    assert report["failures"] == []


def test_a_free_batch_is_read_as_one(tmp_path):
    with opened(quantized(tmp_path, batch="N")) as found:
        assert found.graph.io.inputs[0].shape == SHAPE
        assert "batch" in found.notes[0].message
        assert verify_foreign(found)[0][0].equal > 0.999


def test_integer_operators_of_the_older_form_are_refused_by_name(tmp_path, cli):
    path = quantized(tmp_path, form=QuantFormat.QOperator)
    with opened(path) as found, pytest.raises(ProblemsError, match="`QLinearConv` has no integer reference"):
        verify_foreign(found)
    done = cli("verify", path)
    assert done.returncode == 2
    assert "QLinearConv" in done.stderr


def test_inputs_that_are_codes_are_refused(tmp_path, cli):
    path = quantized(tmp_path)
    model = onnx.load(path)
    first = next(n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "image")
    model.graph.node.remove(first)
    model.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(first.output[0], onnx.TensorProto.UINT8, SHAPE))
    onnx.save(model, path)
    for verb in ("verify", "bench"):
        done = cli(verb, path)
        assert done.returncode == 2
        assert f"`{first.output[0]}` is not float32" in done.stderr


def test_a_file_that_no_engine_runs_is_not_verified(tmp_path, cli):
    path = classifier(tmp_path / "new.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.operatorCodes[0].version = 99
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    for verb in ("verify", "bench"):
        done = cli(verb, path)
        assert done.returncode == 2, done.stdout
        assert "litert: does not run it" in done.stderr


def test_explain_of_integer_operators_and_of_an_engine_that_refuses(tmp_path, cli):
    done = cli("explain", quantized(tmp_path, form=QuantFormat.QOperator), "--runs", "2")
    assert done.returncode == 0, done.stderr
    assert "onnxruntime: ONNX Runtime" in done.stdout
    assert "openvino does not run it" in done.stdout


def test_an_operator_nobody_knows_is_refused_by_name(tmp_path, cli):
    path = float_net(tmp_path / "odd.onnx", last="Det")
    done = cli("verify", path)
    assert done.returncode == 2
    assert "`Det`" in done.stderr


def test_files_that_are_gone_or_damaged(tmp_path, cli):
    assert cli("verify", "gone.onnx").returncode == 3
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    assert cli("verify", "bad.onnx").returncode == 2
    path = quantized(tmp_path)
    assert cli("verify", path, "--io", "gone.json").returncode == 3
    (tmp_path / "io.json").write_text("{}")
    assert "io.json: inputs: is required" in cli("verify", path, "--io", "io.json").stderr
    (tmp_path / "io.json").write_text("{")
    assert "io.json: invalid JSON" in cli("verify", path, "--io", "io.json").stderr


@pytest.mark.parametrize(
    ("scale", "zero", "ends", "kind"),
    [(1 / 255, 0, (0, 1), ImageInput), (2 / 255, 127, (-1, 1), ImageInput), (1.0, 0, (0, 255), ImageInput),
     (0.3, 11, (-3.3, 73.2), TensorInput)],
)  # fmt: skip
def test_the_record_is_guessed_from_the_first_quantizer(scale, zero, ends, kind):
    graph = build(
        pair("restored", "image", "s", "z"), {"s": np.float32(scale), "z": np.uint8(zero)}, (1, 3, 4, 4), (1, 3, 4, 4)
    )
    (spec,) = guess_record(graph).inputs
    assert isinstance(spec, kind)
    assert spec.ends == pytest.approx(ends, abs=0.02 * (ends[1] - ends[0]))


def test_an_input_without_a_size_cannot_be_guessed(tmp_path):
    with pytest.raises(RequestError, match="not that of one sample"):
        guess_record(Graph(read_model(float_net(tmp_path / "two.onnx", batch=2))))


def test_without_its_pairs_the_net_answers_like_the_float_one(tmp_path):
    """Relu is folded into ranges by the quantizer, and comes back."""
    path = quantized(tmp_path, bits=8)
    real = without_pairs(Graph(read_model(path)))
    onnx.checker.check_model(real, full_check=True)
    assert {n.op_type for n in real.graph.node} & {"QuantizeLinear", "DequantizeLinear"} == set()
    image = Pictures().get_next()
    want, have = (
        onnxruntime.InferenceSession(m, providers=["CPUExecutionProvider"]).run(None, image)[0]
        for m in ((tmp_path / "float.onnx").read_bytes(), real.SerializeToString())
    )
    assert np.abs(want - have).max() < 0.02 * np.abs(want).max()


def test_what_stays_codes_has_no_float_form(tmp_path):
    graph = Graph(read_model(quantized(tmp_path, form=QuantFormat.QOperator)))
    with pytest.raises(RequestError, match="integer operator"):
        without_pairs(graph)
    model = build(pair("restored", "image", "s", "z"), {"s": np.float32(1), "z": np.uint8(0)}, SHAPE, SHAPE).model
    codes = model.graph.node[0].output[0]
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(codes, onnx.TensorProto.UINT8, SHAPE))
    with pytest.raises(RequestError, match=f"output `{codes}` is codes"):
        without_pairs(Graph(model))


def test_a_damaged_engine_is_named(tmp_path):
    """What a faulty converter would have made of a layer's scales."""
    with opened(quantized(tmp_path)) as found:
        engine = found.engines["onnxruntime"]
        path = engine.folder / engine.artifact.model
        name = next(
            n.input[1] for n in found.graph.nodes if n.op_type == "DequantizeLinear" and n.input[0].startswith("w2")
        )
        onnx.save(with_constants(read_model(path), {name: found.graph.constants[name] * np.float32(1.3)}), path)
        hops, gates = verify_foreign(found)
    assert not gates[1].held
    assert hops[1].first_beyond.startswith("c2") or hops[1].first_beyond.startswith("a_")
    assert gates[0].held
