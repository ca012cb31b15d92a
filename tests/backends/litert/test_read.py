"""Files of others: one made by hand, damaged ones, operators that no graph holds. Our own are read back in nets.py."""

import json

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from edgekd.backends.litert.foreign import KERNELS, artifacts
from edgekd.backends.litert.read import read_tflite
from edgekd.errors import MissingError, ProblemsError, RequestError
from edgekd.graph import golden
from edgekd.runners import tfl
from edgekd.verify.parity import compare

B = schema.BuiltinOperator
RNG = np.random.default_rng(7)


def write(path, tensors, operators, inputs, outputs):
    """A file by the schema alone: tensors (name, shape, type, scales, zero point, data, axis), operators
    (kind, inputs, outputs, options)."""
    types = {"int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32, "float32": schema.TensorType.FLOAT32,
             "uint8": schema.TensorType.UINT8}  # fmt: skip
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, graph.tensors, graph.operators, model.operatorCodes = (
        3,
        [schema.BufferT()],
        [],
        [],
        [],
    )
    for name, shape, kind, scales, zero, data, axis in tensors:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), types[kind], len(model.buffers)
        if scales is not None:
            tensor.quantization = q = schema.QuantizationParametersT()
            q.scale = np.atleast_1d(np.asarray(scales, np.float32))
            q.zeroPoint, q.quantizedDimension = np.full(q.scale.size, zero, np.int64), axis
        if data is not None:
            buffer.data = np.frombuffer(np.ascontiguousarray(data, kind).tobytes(), np.uint8)
        model.buffers.append(buffer)
        graph.tensors.append(tensor)
    for kind, reads, makes, options in operators:
        code, op = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), 1 if kind == B.RESHAPE else 3
        op.opcodeIndex, op.inputs, op.outputs = len(model.operatorCodes), reads, makes
        if options is not None:
            op.builtinOptions = options
            op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        model.operatorCodes.append(code)
        graph.operators.append(op)
    graph.inputs, graph.outputs, model.subgraphs = inputs, outputs, [graph]
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def by_litert(path, x):
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def classifier(path):
    """uint8 picture -> QUANTIZE -> CONV_2D (SAME, stride 2, RELU6) -> RESHAPE to a row -> FULLY_CONNECTED."""
    conv, dense = schema.Conv2DOptionsT(), schema.FullyConnectedOptionsT()
    conv.padding, conv.strideH, conv.strideW, conv.fusedActivationFunction = 0, 2, 2, 3
    ws, ds = RNG.uniform(0.002, 0.01, 4), 0.004
    tensors = [
        ("picture", (1, 8, 8, 3), "uint8", 1 / 255, 0, None, 0),
        ("in", (1, 8, 8, 3), "int8", 1 / 255, -128, None, 0),
        ("conv/w", (4, 3, 3, 3), "int8", ws, 0, RNG.integers(-127, 128, (4, 3, 3, 3)), 0),
        ("conv/b", (4,), "int32", ws / 255, 0, RNG.integers(-500, 500, 4), 0),
        ("conv", (1, 4, 4, 4), "int8", 6 / 255, -128, None, 0),
        ("to", (2,), "int32", None, 0, [1, 64], 0),
        ("row", (1, 64), "int8", 6 / 255, -128, None, 0),
        ("dense/w", (5, 64), "int8", ds, 0, RNG.integers(-127, 128, (5, 64)), 0),
        ("dense/b", (5,), "int32", 6 / 255 * ds, 0, RNG.integers(-500, 500, 5), 0),
        ("scores", (1, 5), "int8", 0.05, 3, None, 0),
    ]
    operators = [
        (B.QUANTIZE, [0], [1], None), (B.CONV_2D, [1, 2, 3], [4], conv), (B.RESHAPE, [4, 5], [6], None),
        (B.FULLY_CONNECTED, [6, 7, 8], [9], dense),
    ]  # fmt: skip
    return write(path, tensors, operators, [0], [9])


def test_a_foreign_file_gives_the_codes_that_litert_gives(tmp_path):
    path = classifier(tmp_path / "foreign.tflite")
    graph, picture = read_tflite(path), RNG.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    io = graph.io
    assert (io.inputs[0].shape, io.inputs[0].color) == ((1, 3, 8, 8), "RGB")
    assert io.inputs[0].ends == pytest.approx((0.0, 1.0))
    values = (picture.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2)
    trace = golden.run(graph, {"picture": values}, rounding="tfl_double")
    np.testing.assert_array_equal(trace["picture.q"].transpose(0, 2, 3, 1), picture)
    assert np.abs(trace["scores.q"].astype(int) - by_litert(path, picture)).max() <= 1  # it rounds once: see test_write


@pytest.mark.parametrize("name", KERNELS)
def test_a_foreign_file_is_run_as_it_is(name, tmp_path):
    path = classifier(tmp_path / "foreign.tflite")
    graph = read_tflite(path)
    artifact, rounding = artifacts(path, graph)[name]
    inputs = {"picture": RNG.random((1, 3, 8, 8)).astype(np.float32)}
    found = tfl.Session(path, [node.output[0] for node in graph.codes()], **artifact.options).run(inputs)
    assert found["conv.q"].shape == (1, 4, 4, 4)
    assert compare(name, graph, [inputs], [found], rounding=rounding).first_beyond is None


def test_channels_first_stay_where_they_are(tmp_path):
    """As converters from PyTorch write them."""
    tensors = [("x", (1, 3, 8, 16), "float32", None, 0, None, 0), ("y", (1, 3, 8, 16), "float32", None, 0, None, 0)]
    graph = read_tflite(write(tmp_path / "m.tflite", tensors, [(B.RELU, [0], [1], None)], [0], [1]))
    assert graph.shapes["x"] == (1, 3, 8, 16)


def test_what_the_graph_cannot_hold_is_refused_by_name(tmp_path):
    tensors = [("x", (1, 4), "float32", None, 0, None, 0), ("y", (1, 4), "float32", None, 0, None, 0),
               ("z", (1, 4), "float32", None, 0, None, 0)]  # fmt: skip
    path = write(tmp_path / "m.tflite", tensors, [(B.SIN, [0], [1], None), (B.FLOOR, [1], [2], None)], [0], [2])
    with pytest.raises(ProblemsError) as error:
        read_tflite(path)
    assert {(p.where, p.message) for p in error.value.problems} == {
        ("y", "the graph cannot hold `SIN`"), ("z", "the graph cannot hold `FLOOR`")}  # fmt: skip


def test_no_file_and_no_such_file(tmp_path):
    with pytest.raises(MissingError):
        read_tflite(tmp_path / "gone.tflite")
    (tmp_path / "text.tflite").write_text("hello, world")
    with pytest.raises(RequestError, match=r"is no \.tflite file"):
        read_tflite(tmp_path / "text.tflite")
    whole = classifier(tmp_path / "whole.tflite").read_bytes()
    (tmp_path / "half.tflite").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RequestError, match="is damaged"):
        read_tflite(tmp_path / "half.tflite")


def test_the_verb_checks_a_foreign_file(tmp_path, cli):
    path = classifier(tmp_path / "foreign.tflite")
    done = cli("verify", path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failures"] == []


def test_damage_is_told_wherever_it_lies(tmp_path):
    """Bytes turned over and ends cut off: a sentence, or a graph that can be read."""
    whole, path, rng = classifier(tmp_path / "a.tflite").read_bytes(), tmp_path / "b.tflite", np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = bytearray(whole[: rng.integers(8, len(whole))] if rng.random() < 0.2 else whole)
        data[int(rng.integers(8, len(data))) if len(data) > 8 else 0] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            read_tflite(path)
        except RequestError:
            refused += 1
    assert 20 < refused < 150


@pytest.mark.parametrize(("place", "kind"), [(0, "INT16"), (2, "FLOAT16"), (4, "INT16")])
def test_types_that_are_not_read_are_named(tmp_path, place, kind):
    """Half floats and 16-bit activations: never taken for something else."""
    path = classifier(tmp_path / "a.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.subgraphs[0].tensors[place].type = getattr(schema.TensorType, kind)
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    with pytest.raises(RequestError, match=f"is {kind}, which is not read"):
        read_tflite(path)
