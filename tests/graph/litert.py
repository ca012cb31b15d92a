"""One-operator .tflite files, run by LiteRT's reference kernels: the witness of `tfl_double`."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

B = schema.BuiltinOperator
TYPES = {np.dtype("int8"): schema.TensorType.INT8, np.dtype("int32"): schema.TensorType.INT32}


def reference(kind, tensors, inputs, output, options=None, options_type=0, version=2):
    """Codes that the reference kernel of operator `kind` gives.

    `tensors`: (shape, dtype, scales, zero points, data or None, axis) each; `inputs` and `output` index them.
    """
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, "test"
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), version
    model.operatorCodes, model.buffers, graph.tensors = [code], [schema.BufferT()], []
    for shape, dtype, scales, zeros, data, axis in tensors:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), TYPES[np.dtype(dtype)], len(model.buffers)
        tensor.name = f"t{len(graph.tensors)}"
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(scales, np.float32).ravel()
            tensor.quantization.zeroPoint = np.asarray(zeros, np.int64).ravel()
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        model.buffers.append(buffer)
        graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = inputs, [output]
    operator.builtinOptions, operator.builtinOptionsType = options, options_type
    feeds = [i for i in inputs if tensors[i][4] is None]
    graph.inputs, graph.outputs, graph.operators = feeds, [output], [operator]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    interpreter = Interpreter(
        model_content=bytes(builder.Output()), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()

    def run(*values):
        for detail, value in zip(interpreter.get_input_details(), values, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run
