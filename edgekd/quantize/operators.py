"""What torch's operators are in ONNX, and captured graphs rewritten so that each node is one of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

_aten: Any = torch.ops.aten
TYPES: dict[Any, str] = {
    _aten._softmax.default: "Softmax",
    _aten.adaptive_avg_pool2d.default: "ReduceMean",
    _aten.add.Tensor: "Add",
    _aten.avg_pool2d.default: "AveragePool",
    _aten.batch_norm.default: "BatchNormalization",
    _aten.bmm.default: "MatMul",
    _aten.cat.default: "Concat",
    _aten.clamp.default: "Clip",
    _aten.conv1d.default: "Conv",
    _aten.conv1d.padding: "Conv",
    _aten.conv2d.default: "Conv",
    _aten.conv2d.padding: "Conv",
    _aten.conv_transpose2d.input: "ConvTranspose",
    _aten.div.Tensor: "Div",
    _aten.expand.default: "Expand",
    _aten.flatten.using_ints: "Flatten",
    _aten.gelu.default: "Gelu",
    _aten.hardsigmoid.default: "HardSigmoid",
    _aten.hardswish.default: "HardSwish",
    _aten.hardtanh.default: "Clip",
    _aten.layer_norm.default: "LayerNormalization",
    _aten.leaky_relu.default: "LeakyRelu",
    _aten.linear.default: "Gemm",
    _aten.matmul.default: "MatMul",
    _aten.max_pool2d.default: "MaxPool",
    _aten.mean.dim: "ReduceMean",
    _aten.mul.Tensor: "Mul",
    _aten.permute.default: "Transpose",
    _aten.relu.default: "Relu",
    _aten.relu6.default: "Clip",
    _aten.reshape.default: "Reshape",
    _aten.select.int: "Gather",
    _aten.sigmoid.default: "Sigmoid",
    _aten.slice.Tensor: "Slice",
    _aten.softmax.int: "Softmax",
    _aten.squeeze.dim: "Squeeze",
    _aten.sub.Tensor: "Sub",
    _aten.t.default: "Transpose",
    _aten.tanh.default: "Tanh",
    _aten.transpose.int: "Transpose",
    _aten.unflatten.int: "Reshape",
    _aten.unsqueeze.default: "Unsqueeze",
    _aten.upsample_bilinear2d.vec: "Resize",
    _aten.upsample_nearest2d.vec: "Resize",
    _aten.view.default: "Reshape",
}
WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
DROPOUTS, BATCH_NORM = (_aten.dropout.default, _aten.feature_dropout.default), _aten.batch_norm.default
LISTS = (
    _aten.split.Tensor, _aten.split_with_sizes.default, _aten.chunk.default, _aten.unbind.int,
    _aten.tensor_split.sections, _aten.tensor_split.indices, _aten.unsafe_chunk.default, _aten.unsafe_split.Tensor,
)  # fmt: skip
SAME = (
    _aten.contiguous.default, _aten.clone.default, _aten.detach.default, _aten.alias.default,
    _aten.lift_fresh_copy.default,
)  # fmt: skip
"""Nodes that hand a value on and are no operator in ONNX."""
MOVES = (
    "Concat", "Expand", "Flatten", "Gather", "MaxPool", "Reshape", "Resize", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
)  # fmt: skip
_VIEWS = (
    "alias", "chunk", "detach", "expand", "flatten", "narrow", "permute", "reshape", "select", "slice", "split",
    "split_with_sizes", "squeeze", "t", "tensor_split", "transpose", "unbind", "unflatten", "unsqueeze", "view",
)  # fmt: skip
READS_CONSTANTS = ("Add", "Sub", "Mul", "Div", "MatMul", "Concat")
"""Operators whose constant operands are quantized as activations are."""


def onnx_type(node: fx.Node) -> str:
    """The node's ONNX operator; what has none keeps its torch name."""
    if node.target is operator.getitem:
        source = node.all_input_nodes[0]
        return "Split" if source.target in LISTS else onnx_type(source)
    return TYPES.get(node.target) or str(node.target).removeprefix("aten.").partition(".")[0]


def moves(node: fx.Node) -> bool:
    """Whether the operator only moves values; bilinear resizing and the like mix them."""
    return onnx_type(node) in MOVES and node.target is not _aten.upsample_bilinear2d.vec


def clips_from_zero(node: fx.Node) -> bool:
    """Whether the operator is a clip, ReLU6 or the like, whose lower end is a number not below 0."""
    if node.target is _aten.relu6.default:
        return True
    low = node.args[1] if len(node.args) > 1 else None
    return onnx_type(node) == "Clip" and isinstance(low, int | float) and low >= 0


def is_grouped_transpose(node: fx.Node) -> bool:
    """Whether a node is a ConvTranspose of several groups, whose channels do not lie along one axis of its weight."""
    groups = node.args[6] if len(node.args) > 6 else 1
    return onnx_type(node) == "ConvTranspose" and bool(groups != 1)


def is_tensor(node: fx.Node) -> bool:
    """Whether a node makes a tensor of real numbers: not a size, an index, a mask, a list of parts."""
    value = node.meta.get("val", torch.empty(0))
    return isinstance(value, Tensor) and value.is_floating_point()


def is_size(node: fx.Node) -> bool:
    """Whether a node makes a plain number, such as a size."""
    return isinstance(node.meta.get("val"), int | float | torch.SymInt | torch.SymFloat | torch.SymBool)


def normalise(module: fx.GraphModule) -> None:
    """In-place operators become functional, composed ones their parts, checks go."""
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if str(node.target).startswith(("aten._assert", "aten.sym_constrain")):
            module.graph.erase_node(node)
        else:
            _functional(node)
            _PARTS.get(node.target, lambda node: None)(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def _functional(node: fx.Node) -> None:
    """`relu_(x)` as `relu(x)`: what reads `x` afterwards reads the result. Left alone where views of `x` do."""
    packet, _, overload = str(node.target).removeprefix("aten.").partition(".")
    plain = getattr(_aten, packet.removesuffix("_"), None)
    if not packet.endswith("_") or packet.endswith("__") or plain is None or overload not in plain.overloads():
        return
    source, nodes = node.all_input_nodes[0], list(node.graph.nodes)
    after = set(nodes[nodes.index(node) + 1 :])
    if any(reader in after for alias in _aliases(source) - {source} for reader in alias.users):
        return
    node.target = getattr(plain, overload)
    for reader in list(source.users):
        if reader in after:
            reader.replace_input_with(source, node)


def _aliases(node: fx.Node) -> set[fx.Node]:
    """The nodes that may share a node's memory: the views of the tensor it is a view of."""
    while _views(node):
        node = node.all_input_nodes[0]
    found, todo = {node}, [node]
    while todo:
        new = [reader for reader in todo.pop().users if _views(reader) and reader not in found]
        found.update(new)
        todo += new
    return found


def _views(node: fx.Node) -> bool:
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    return node.op == "call_function" and (node.target is operator.getitem or name in _VIEWS)


def _silu(node: fx.Node) -> None:
    """`x * sigmoid(x)`."""
    x = node.args[0]
    _replace(node, lambda call: call(_aten.mul.Tensor, x, call(_aten.sigmoid.default, x)))


def _mish(node: fx.Node) -> None:
    """`x * tanh(softplus(x))`."""
    x = node.args[0]
    _replace(node, lambda call: call(_aten.mul.Tensor, x, call(_aten.tanh.default, call(_aten.softplus.default, x))))


def _attention(node: fx.Node) -> None:
    """`softmax(q k^T / sqrt(d) + mask) v`, so that its products are seen (torch's definition)."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    query, key, value, mask = (given.get(name) for name in names[:4])
    if given.get("is_causal") or given.get("enable_gqa") or query is None or "val" not in query.meta:
        return
    scale = given.get("scale") or float(query.meta["val"].shape[-1]) ** -0.5

    def parts(call: Any) -> fx.Node:
        scores = call(_aten.matmul.default, query, call(_aten.transpose.int, key, -2, -1))
        scores = call(_aten.mul.Tensor, scores, scale)
        if mask is not None and mask.meta["val"].dtype is torch.bool:
            scores = call(_aten.masked_fill.Scalar, scores, call(_aten.logical_not.default, mask), -math.inf)
        elif mask is not None:
            scores = call(_aten.add.Tensor, scores, mask)
        out: fx.Node = call(_aten.matmul.default, call(_aten.softmax.int, scores, -1), value)
        return out

    _replace(node, parts)


def _replace(node: fx.Node, parts: Callable[[Any], fx.Node]) -> None:
    def call(target: Any, *args: Any) -> fx.Node:
        new = node.graph.call_function(target, args)
        new.meta = {key: value for key, value in node.meta.items() if key != "val"}
        return new

    with node.graph.inserting_before(node):
        whole = parts(call)
    whole.meta = dict(node.meta)
    node.replace_all_uses_with(whole)
    node.graph.erase_node(node)


_PARTS: dict[Any, Any] = {
    _aten.mish.default: _mish,
    _aten.scaled_dot_product_attention.default: _attention,
    _aten.silu.default: _silu,
}
