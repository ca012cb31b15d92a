"""Sums of uint8 by int8 products on x86 with and without VNNI: who is exact, who is not and says so."""

import platform

import numpy as np
import pytest
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.graph import golden
from edgekd.graph.model import Graph, with_constants
from edgekd.runners import board, ort
from edgekd.verify.engines import LocalEngine, saturates
from edgekd.verify.gates import SATURATED, parity_gate
from edgekd.verify.search import check_engine

from tests.graph.graphs import conv_graph

RNG = np.random.default_rng(6)
IMAGE = {"image": np.full((1, 8, 8, 8), 5.1, np.float32)}
"""The code 255 everywhere, at the grid of `conv_graph`."""


def loud(top: int) -> Graph:
    """A convolution whose weights are all `top`; its output's grid holds the sums."""
    graph = conv_graph(RNG, dtype=np.uint8, channels=8, y_scale=1.1 * 0.02 * 0.01 * 72 * top)
    return Graph(with_constants(graph.model, {"w": np.full((8, 8, 3, 3), top, np.int8)}))


def checked(graph, name, folder, **options):
    engine = backend(name)
    made = engine.compile(Job(graph, graph, [IMAGE], []), engine.Options(**options), folder)
    local = LocalEngine(name, made, folder)
    return parity_gate(check_engine(name, local, graph, [IMAGE], "rne_f32"), saturates(local, graph))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 adds 8-bit products in 16 bits")
@pytest.mark.parametrize(
    ("flags", "cut_off"), [("avx2 fma", True), ("avx2 avx_vnni", False), ("avx512f avx512_vnni", False), (None, True)]
)
def test_vnni_is_read_from_the_flags(flags, cut_off, tmp_path):
    if flags is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(f"model name : a CPU\nflags : {flags}\n")
    assert board.saturates(str(tmp_path)) is cut_off
    assert ort.saturates(str(tmp_path / "proc/cpuinfo")) is cut_off


@pytest.mark.skipif(platform.machine() == "x86_64", reason="x86 may")
def test_no_other_cpu_adds_8_bit_products_in_16_bits():
    assert not board.saturates()
    assert not ort.saturates()


def test_the_probe_reaches_the_highest_sums():
    graph = loud(127)
    codes = golden.run(graph, IMAGE)
    assert codes["x.q"].min() == 255
    assert 200 < codes["y.q"].max() < 255


@pytest.mark.parametrize("unsigned", [False, True])
def test_onnxruntime_is_exact_on_every_cpu(unsigned, tmp_path):
    assert checked(loud(127), "onnxruntime", tmp_path, unsigned=unsigned).held


def test_openvino_is_exact_with_vnni_and_else_the_gate_names_the_cause(tmp_path):
    gate = checked(loud(127), "openvino", tmp_path)
    assert gate.held is not board.saturates()
    assert gate.held or gate.hint == SATURATED


def test_seven_bits_of_weights_are_exact_on_every_cpu(tmp_path):
    assert checked(loud(63), "openvino", tmp_path).held


def test_another_fault_is_not_blamed_on_the_cpu(tmp_path):
    """Weights whose sums fit, yet other than the engine's."""
    graph = loud(63)
    engine = backend("openvino")
    made = engine.compile(Job(graph, graph, [IMAGE], []), engine.Options(), tmp_path)
    local, other = LocalEngine("openvino", made, tmp_path), loud(50)
    gate = parity_gate(check_engine("openvino", local, other, [IMAGE], "rne_f32"), saturates(local, other))
    assert not gate.held
    assert gate.hint != SATURATED
