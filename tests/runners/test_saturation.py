"""Sums of uint8 by int8 products on x86 with and without VNNI: every engine is exact on either."""

import platform

import numpy as np
import pytest
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.graph import golden
from edgekd.graph.model import Graph, with_constants
from edgekd.runners import board, ort, ov
from edgekd.verify.engines import LocalEngine
from edgekd.verify.gates import parity_gate
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
    return parity_gate(check_engine(name, local, graph, [IMAGE], "rne_f32"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 adds 8-bit products in 16 bits")
@pytest.mark.parametrize(
    ("flags", "cut_off"), [("avx2 fma", True), ("avx2 avx_vnni", False), ("avx512f avx512_vnni", False), (None, True)]
)
def test_vnni_is_read_from_the_flags(flags, cut_off, tmp_path):
    if flags is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(f"model name : a CPU\nflags : {flags}\n")
    assert board.saturates(str(tmp_path)) is cut_off
    for runner in (ort, ov):
        assert runner.saturates(str(tmp_path / "proc/cpuinfo")) is cut_off


@pytest.mark.skipif(platform.machine() == "x86_64", reason="x86 may")
def test_no_other_cpu_adds_8_bit_products_in_16_bits():
    assert not board.saturates()
    assert not ort.saturates()
    assert not ov.saturates()


def test_the_probe_reaches_the_highest_sums():
    graph = loud(127)
    codes = golden.run(graph, IMAGE)
    assert codes["x.q"].min() == 255
    assert 200 < codes["y.q"].max() < 255


@pytest.mark.parametrize("unsigned", [False, True])
def test_onnxruntime_is_exact_on_every_cpu(unsigned, tmp_path):
    assert checked(loud(127), "onnxruntime", tmp_path, unsigned=unsigned).held


def test_openvino_is_exact_on_every_cpu(tmp_path):
    assert checked(loud(127), "openvino", tmp_path).held


@pytest.mark.skipif(not board.saturates(), reason="this CPU adds 8-bit products in 32 bits")
def test_openvino_left_alone_is_not_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(ov, "is_cut_off", lambda network: False)
    assert not checked(loud(127), "openvino", tmp_path).held


@pytest.mark.parametrize(("top", "wide"), [(127, True), (65, True), (64, False), (63, False)])
def test_only_weights_whose_sums_leave_16_bits_are_kept_from_int8(top, wide, tmp_path):
    made = backend("openvino").compile(Job(loud(top), loud(top), [IMAGE], []), backend("openvino").Options(), tmp_path)
    network = ov.openvino.Core().read_model(str(tmp_path / made.model))
    assert ov.is_cut_off(network) is (wide and board.saturates())
