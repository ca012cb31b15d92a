"""From torch to the portable graph: one ONNX file that carries its io record and its tensors' keys as names."""

from __future__ import annotations

import io as stream
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from edgekd.errors import RequestError
from edgekd.graph.model import IO_KEY, Graph, code_name
from edgekd.graph.rewrite import pack_weights
from edgekd.quantize.capture import Captured, capture, innermost
from edgekd.quantize.fake import Quantizer
from edgekd.quantize.insert import Keep, Quantized, Ranges, insert
from edgekd.quantize.placement import Op
from edgekd.quantize.weighted import QuantWeighted
from edgekd.schema.io import IoRecord
from edgekd.schema.target import Arithmetic

OPSET = 20
_NOT_OPERATORS = ("QuantizeLinear", "DequantizeLinear", "Constant")
_SCOPES = "pkg.torch.onnx.name_scopes"
_STACK = "pkg.torch.onnx.stack_trace"
Codes = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Portable:
    """A portable graph and the quantized torch graph it was written from."""

    model: onnx.ModelProto
    quantized: Quantized
    lines: dict[str, str]
    """Tensor -> the line of the person's code that makes it, as `file.py:12`."""


def export_quantized(
    net: nn.Module,
    state: dict[str, Tensor] | None,
    arithmetic: Arithmetic,
    ranges: Ranges,
    io: IoRecord,
    keep: Keep | None = None,
) -> Portable:
    """Capture `net` at the deployed shape, put the trained quantizers back, write Q/DQ pairs.

    Weights of 4 or 2 bits are INT4 where the engine runs them, else int8 (`simulated`). Without `state` (an
    untrained net, to see whether its operators fit a target) scales are those of fresh quantizers.
    Raises RequestError when the network cannot be captured or its quantizers differ from the trained ones.
    """
    return export_captured(capture(net, example(io)), state, arithmetic, ranges, io, keep)


def export_captured(
    captured: Captured,
    state: dict[str, Tensor] | None,
    arithmetic: Arithmetic,
    ranges: Ranges,
    io: IoRecord,
    keep: Keep | None = None,
) -> Portable:
    """As `export_quantized`, from a capture at the deployed shape, which is changed."""
    quantized = insert(captured, arithmetic, ranges, keep=keep)
    if state is not None:
        quantized.load_state(state)
    quantized.mode("export")
    with _emitting(quantized.module):
        model = _to_onnx(quantized.module, example(io), io)
    _name_values(model, captured.ops)
    _name_tensors(model, quantized.scopes | quantized.names())
    quantized.mode("quantize")
    lines, model = _lines(model), finish(model, io)
    few = any(operator.quantizer.grid.bits <= 4 for operator in quantized.weighted.values())
    if few and not arithmetic.simulated:
        model = pack_weights(Graph(model))
    return Portable(model, quantized, lines)


def export_float(net: nn.Module, io: IoRecord) -> onnx.ModelProto:
    """The float graph at the deployed shape."""
    inputs = example(io)
    captured = capture(net, inputs)
    model = _to_onnx(captured.module, inputs, io)
    _name_values(model, captured.ops)
    return finish(model, io)


def trained_codes(quantized: Quantized, inputs: tuple[Tensor, ...]) -> Codes:
    """The codes that training sees at every quantizer, by the value's key."""
    codes: Codes = {}

    def remember(name: str) -> Any:
        def hook(module: Any, args: tuple[Tensor], out: Tensor) -> None:
            owner = module.owner()
            codes[code_name(name)] = owner.codes(args[0]).detach().to(owner.grid.dtype).numpy()

        return hook

    hooks = [quantized.module.get_submodule(scope).register_forward_hook(remember(value))
             for scope, value in quantized.scopes.items()]  # fmt: skip
    quantized.mode("quantize")
    quantized.module.eval()
    with torch.no_grad():
        quantized.module(*inputs)
    for hook in hooks:
        hook.remove()
    return codes


def example(io: IoRecord) -> tuple[Tensor, ...]:
    """Inputs of the deployed shape."""
    return tuple(torch.zeros(spec.shape) for spec in io.inputs)


@contextmanager
def _emitting(module: fx.GraphModule) -> Iterator[None]:
    """Within, parts hold only what they emit: the exporter's time grows with every tensor held, used or not."""
    module.delete_all_unused_submodules()
    held = list(_trained(module))
    for part, name, _ in held:
        delattr(part, name)
    yield
    for part, name, tensor in held:
        if isinstance(tensor, nn.Parameter):
            part.register_parameter(name, tensor)
        else:
            part.register_buffer(name, tensor)


def _trained(module: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """What quantizers and weighted operators hold beside the constants they emit: owner, name, tensor."""
    owners = (m for m in module.modules() if isinstance(m, Quantizer | QuantWeighted))
    for part in dict.fromkeys(part for owner in owners for part in owner.modules()):
        own = {name: tensor for name, tensor in part.state_dict(keep_vars=True).items() if "." not in name}
        yield from ((part, name, tensor) for name, tensor in own.items())


def _to_onnx(module: fx.GraphModule, inputs: tuple[Tensor, ...], io: IoRecord) -> onnx.ModelProto:
    for name in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                module.eval(),
                inputs,
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                verbose=False,
                input_names=[spec.name for spec in io.inputs],
                output_names=[spec.name for spec in io.outputs],
            )
    except torch.onnx.OnnxExporterError as error:
        reason = _reason(error)
        raise RequestError(f"the network cannot be written as ONNX: {reason}", "replace that operator") from None
    buffer = stream.BytesIO()
    program.save(buffer)
    return onnx.load_from_string(buffer.getvalue())


def _reason(error: BaseException) -> str:
    """The innermost cause in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _name_values(model: onnx.ModelProto, ops: tuple[Op, ...]) -> None:
    """Name every operator's result by its key, where the exporter kept the operators one for one."""
    fixed = {value.name for value in (*model.graph.input, *model.graph.output)}
    nodes = [node for node in model.graph.node if node.op_type not in _NOT_OPERATORS]
    if [node.op_type for node in nodes] == [op.type for op in ops]:
        pairs = zip(nodes, ops, strict=True)
        names = {op.output: f"{op.output}.value" if op.output in fixed else op.output for op in ops}
        _rename(model, {node.output[0]: names[op.output] for node, op in pairs if node.output[0] not in fixed})


def _name_tensors(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Name codes after the value they stand for, and constants after their layer.

    The exporter merges equal pairs, so Q nodes are found by the quantizer's module in their scope, not by order.
    """
    renamed = {}
    for tensor in model.graph.initializer:
        module, _, part = tensor.name.partition(".")
        if module in names:
            renamed[tensor.name] = f"{names[module]}.{part.removeprefix('frozen_')}"
            tensor.name = renamed[tensor.name]
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            scope = next(p.value for p in node.metadata_props if p.key == _SCOPES)
            key = next((key for module, key in names.items() if f"'{module}'" in scope), None)
            if key is not None:
                renamed[node.output[0]] = code_name(key)
    _rename(model, renamed)


def _rename(model: onnx.ModelProto, renamed: dict[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]


def _lines(model: onnx.ModelProto) -> dict[str, str]:
    """Where the person's code makes each tensor, as the exporter noted it."""
    notes = {n.output[0]: p.value for n in model.graph.node for p in n.metadata_props if p.key == _STACK}
    return {tensor: line for tensor, text in notes.items() if (line := innermost(text))}


def finish(model: onnx.ModelProto, io: IoRecord) -> onnx.ModelProto:
    """Leave out what tells of the machine that wrote the graph, add the io record, check."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "edgekd", "", ""
    onnx.helper.set_model_props(model, {IO_KEY: io.model_dump_json()})
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model
