"""Rewrites of a portable graph into the form an engine reads.

All but `half_floats` and `without_pairs` keep every code. The graph given is never changed; constants are made
anew, since several operators may share one.

Backends call `pack_weights` (export), `unsigned_activations`, `fill_channels`, `copied_upsampling` (ONNX Runtime) and
`float_biases` (TensorRT), and through them `with_opset` and `drop_unused`; `half_floats` is for engines whose float
part runs in 16 bits; `without_pairs` gives a graph that came without its float net a neighbour to be timed
beside. `integer_biases`, `signed_activations` and `unpack_weights` undo their counterparts, for engines that take only
the other form and to prove that nothing is lost on the way.
"""

from edgekd.graph.rewrite.biases import float_biases, integer_biases
from edgekd.graph.rewrite.channels import fill_channels
from edgekd.graph.rewrite.codes import pack_weights, signed_activations, unpack_weights, unsigned_activations
from edgekd.graph.rewrite.edit import drop_unused
from edgekd.graph.rewrite.half import half_floats
from edgekd.graph.rewrite.nearest import copied_upsampling
from edgekd.graph.rewrite.opset import with_opset
from edgekd.graph.rewrite.pairs import without_pairs

__all__ = [
    "copied_upsampling",
    "drop_unused",
    "fill_channels",
    "float_biases",
    "half_floats",
    "integer_biases",
    "pack_weights",
    "signed_activations",
    "unpack_weights",
    "unsigned_activations",
    "with_opset",
    "without_pairs",
]
