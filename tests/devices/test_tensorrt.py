"""A kit's graph through the agent, as on a board, with a trtexec that replays recordings: all of it is simulated."""

import numpy as np
import onnx
import pytest
from edgekd.backends.base import Artifact
from edgekd.devices.base import Timing, Work
from edgekd.devices.local import Local
from edgekd.verify.engines import DeviceEngine

from tests.graph.graphs import conv_graph
from tests.runners.boards import recorded_trtexec

IMAGE = {"image": np.zeros((1, 4, 8, 8), np.float32)}


@pytest.fixture(params=["10", "11"])
def work(request, tmp_path, monkeypatch):
    codes = np.arange(-128, 128).reshape(1, 4, 8, 8)
    answers = {"restored": codes * np.float32(0.05), "y.q": codes}
    monkeypatch.setenv("TRTEXEC", str(recorded_trtexec(tmp_path, request.param, **answers)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    onnx.save(conv_graph(np.random.default_rng(0), int_bias=False).model, tmp_path / "int8.onnx")
    return Work("int8", "trt", tmp_path / "int8.onnx", {"workspace_mib": 64, "level": 3})


def test_outputs_times_and_layers_come_back(work):
    device = Local()
    (out,) = device.outputs(work, [IMAGE])
    assert out["restored"].max() == pytest.approx(127 * 0.05)
    (traced,) = device.traces(work, [IMAGE], [["y.q"]])
    assert traced["y.q"].dtype == np.int8
    timed = device.time([work], IMAGE, Timing(warmup=0, runs=5, seconds=1))
    assert "recorded" in timed["tools"]["int8"]
    assert len(timed["seconds"]["int8"]) == 28
    assert timed["details"]["int8"]["int8_share"] == 0.5
    layers = device.layers(work, IMAGE, 50)
    assert layers is not None
    assert [layer["precision"] for layer in layers] == ["int8", "int8", "float16", "float32"]


def test_what_verify_gets_from_recordings_is_called_simulated(work):
    kit = Artifact(backend="tensorrt", kind="kit", tool="", model=work.model.name, runner="trt", options=work.options)
    engine = DeviceEngine("tensorrt on local", kit, work.model.parent, Local())
    assert "restored" in next(engine.outputs([IMAGE]))
    assert engine.witness["kind"] == "simulated"
    assert "recorded" in engine.witness["tool"]
