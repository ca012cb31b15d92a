"""Damage in a written file is found without running it, and the tensor is named."""

import flatbuffers
import numpy as np
import pytest
from edgekd.backends.litert.structure import Parsed, compare
from edgekd.backends.litert.write import write

from tests.backends.litert.nets import Net


def net():
    made = Net(4, x=(1, 4, 8, 8))
    weight = made.weight("x.in", (4, 4, 3, 3), 0)
    c = made.then("Conv", ["x.in", *weight], (1, 4, 8, 8), relu=1, pads=[1] * 4)
    weight = made.weight(c, (4, 1, 3, 3), 0)
    d = made.then("Conv", [c, *weight], (1, 4, 8, 8), pads=[1] * 4, group=4)
    weight = made.weight(d, (4, 3, 4, 4), 1)
    t = made.then("ConvTranspose", [d, *weight], (1, 3, 16, 16), strides=[2, 2], pads=[1] * 4)
    flat = made.then("Reshape", [t, made.ints((1, 768))], (1, 768), grid=t)
    weight = made.weight(flat, (5, 768), 0)
    made.then("Gemm", [flat, *weight], (1, 5), transB=1)
    return made.graph()


def damaged(data, change):
    """The file after `change` was done to its parsed form."""
    file = Parsed(data)
    change(file)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(file.model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def values(file, name, change):
    """Change a constant's values in place of the old ones."""
    tensor = file.tensors[name]
    array = change(file.data(tensor).copy())
    file.model.buffers[tensor.buffer].data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def test_what_is_written_is_what_the_graph_says():
    graph = net()
    written = write(graph)
    assert compare(graph, written.data, written.names) == []
    assert compare(graph, damaged(written.data, lambda file: None), written.names) == []


WEIGHTS = [n.input[0] for n in net().nodes if n.op_type == "DequantizeLinear" and n.input[0].startswith("w")][::2]


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("axis", [1, -1])
def test_permuted_channels(name, axis):
    graph = net()
    written = write(graph)
    changed = damaged(written.data, lambda file: values(file, name, lambda w: np.roll(w, 1, axis)))
    problems = compare(graph, changed, written.names)
    assert [(p.where, p.message) for p in problems] == [(name, "its weight is another one in the file")]


def test_a_permuted_scale_vector_and_a_wrong_bias():
    graph = net()
    written, name = write(graph), WEIGHTS[0]

    def rolled(file):
        q = file.tensors[name].quantization
        q.scale = np.roll(q.scale, 1)

    found = compare(graph, damaged(written.data, rolled), written.names)
    assert {p.where for p in found} == {name, f"{name}.b"}  # the bias no longer lies on the accumulator's grid
    found = compare(graph, damaged(written.data, lambda f: values(f, f"{name}.b", lambda b: b + 1)), written.names)
    assert [(p.where, p.message) for p in found] == [(f"{name}.b", "its bias is another one in the file")]


@pytest.mark.parametrize("part", ["scale", "zeroPoint"])
def test_a_wrong_grid_of_an_activation(part):
    graph = net()
    written, name = write(graph), list(graph.codes())[2].output[0]

    def change(file):
        q = file.tensors[name].quantization
        setattr(q, part, getattr(q, part) * 2 + 1)

    problems = compare(graph, damaged(written.data, change), written.names)
    assert name in {p.where for p in problems}


def test_a_tensor_that_is_gone():
    graph = net()
    written, name = write(graph), list(graph.codes())[1].output[0]

    def rename(file):
        file.tensors[name].name = b"other"

    assert name in {p.where for p in compare(graph, damaged(written.data, rename), written.names)}
