"""From capture to ONNX Runtime with what real networks hold: trained at one size, shipped at another, same integers."""

from __future__ import annotations

import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.model import Array, Graph
from edgekd.quantize.capture import capture, same_graph
from edgekd.quantize.export import export_quantized, trained_codes
from edgekd.quantize.insert import Quantized, calibrate, insert
from edgekd.runners import ort
from edgekd.schema.io import IoRecord, TensorInput, TensorOutput
from edgekd.schema.targets import find_target
from edgekd.steps import located
from edgekd.verify.parity import compare
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tests.quantize import zoo
from tests.quantize.nets import scaled
from tests.quantize.zoo import Case

ARITHMETIC = scaled(find_target("x86:onnxruntime").arithmetic)
HAVE_TRANSFORMERS = find_spec("transformers") is not None
TRANSFORMERS = (
    "ResNet", "ConvNeXt", "ViT", "MobileViT", "Segformer", "SwiftFormer", "Swin", "SAM 2 mask decoder"
)  # fmt: skip


def record(inputs: tuple[Tensor, ...], outputs: int) -> IoRecord:
    """Any tensors in [-1, 1] to any tensors."""
    return IoRecord(
        inputs=tuple(TensorInput(name=f"in{i}", shape=tuple(x.shape), ends=(-1, 1)) for i, x in enumerate(inputs)),
        outputs=tuple(TensorOutput(name=f"out{i}") for i in range(outputs)),
    )


def train(quantized: Quantized, inputs: tuple[Tensor, ...], steps: int = 5) -> None:
    """Adam on the mean square of every output; ranges and statistics are frozen for the last step."""
    optimizer = torch.optim.Adam([p for p in quantized.module.parameters() if p.requires_grad], lr=1e-3)
    quantized.module.train()
    for step in range(steps):
        if step == steps - 1:
            quantized.freeze()
        outputs = tree_leaves(quantized.module(*inputs))
        optimizer.zero_grad()
        sum(out.square().mean() for out in outputs).backward()
        optimizer.step()


def goes_through(case: Case, folder: Path) -> None:
    torch.manual_seed(0)
    net, small, large = case.build(), case.inputs(2, *case.small), case.inputs(1, *case.large)
    ranges = [(-1.0, 1.0)] * len(small)
    trained, deployed = capture(net, small), capture(net, large)
    assert trained.ops == deployed.ops
    same_graph(trained, deployed)

    quantized = insert(trained, ARITHMETIC, ranges)
    calibrate(quantized, [small])
    before = {name: tensor.clone() for name, tensor in quantized.weights().items()}
    train(quantized, small)
    assert any(not torch.equal(before[name], tensor) for name, tensor in quantized.weights().items())
    net.load_state_dict(net.state_dict() | quantized.weights())
    again = insert(capture(net, small), ARITHMETIC, ranges)
    again.load_state(quantized.state())
    again.mode("quantize")
    for ours, theirs in zip(answers(quantized, small), answers(again, small), strict=True):
        assert torch.equal(ours, theirs)

    portable = export_quantized(net, quantized.state(), ARITHMETIC, ranges, record(large, len(deployed.outputs)))
    graph, inputs = Graph(portable.model), {f"in{i}": x.numpy() for i, x in enumerate(large)}
    codes = trained_codes(portable.quantized, large)
    tensors = [node.output[0] for node in graph.codes()]
    assert len(tensors) >= 3
    assert set(tensors) <= set(codes)
    reference, engine = golden.run(graph, inputs), unoptimised(portable.model, tensors, inputs, folder)
    for name, trace in (("fake quantization", codes), ("ONNX Runtime", engine)):
        if case.exact:
            for tensor in tensors:
                np.testing.assert_array_equal(trace[tensor], reference[tensor], err_msg=f"{name}: {tensor}")
        else:
            assert compare(name, graph, [inputs], [trace]).first_beyond is None


def answers(quantized: Quantized, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return tree_leaves(quantized.module.eval()(*inputs))


def unoptimised(model: onnx.ModelProto, tensors: list[str], inputs: dict[str, Array], folder: Path) -> dict[str, Array]:
    onnx.save(model, folder / "graph.onnx")
    return ort.Session(folder / "graph.onnx", tensors, optimise=False).run(inputs)


@pytest.mark.parametrize("name", zoo.NETS)
def test_own_networks_ship_what_was_trained(name, tmp_path):
    goes_through(zoo.NETS[name], tmp_path)


@pytest.mark.skipif(not HAVE_TRANSFORMERS, reason="`transformers` is not installed")
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_published_networks_ship_what_was_trained(name, tmp_path):
    from tests.quantize import zoo_transformers

    goes_through(zoo_transformers.NETS[name], tmp_path)


def refusal(build: type[nn.Module]) -> str:
    """What is said before anything is trained: the message and the hint, or every problem found."""
    small, large = zoo.image(2, 32, 32), zoo.image(1, 48, 64)
    try:
        net = build()
        same_graph(capture(net, small), capture(net, large))
        portable = export_quantized(net, None, ARITHMETIC, [(-1.0, 1.0)], record(large, 1))
    except RequestError as error:
        return f"{error.message}; {error.hint}"
    problems = [located(problem, portable.lines) for problem in golden.check(Graph(portable.model))]
    return "; ".join(f"{problem}; {problem.hint}" for problem in problems)


def line_of(build: type[nn.Module]) -> str:
    """File and line of the statement marked `refused`, as a person would look it up."""
    lines, first = inspect.getsourcelines(build)
    offset = next(i for i, line in enumerate(lines) if f"# refused: {build.__name__}" in line)
    return f"zoo.py:{first + offset}"


@pytest.mark.parametrize(
    ("build", "operator", "alternative"),
    [
        (zoo.PositionNet, "broadcast", "interpolate"),
        (zoo.DataDependentNet, "`if`", "torch.where"),
        (zoo.CumulativeNet, "CumSum", "conv"),
        (zoo.SizedNet, "add", "size"),
    ],
)
def test_what_cannot_ship_is_refused_with_operator_line_and_alternative(build, operator, alternative):
    told = refusal(build)
    assert line_of(build) in told
    assert re.search(operator, told, re.IGNORECASE)
    message, _, hint = told.rpartition("; ")
    assert alternative.lower() in hint.lower(), f"{message} -> {hint}"
