"""A sensor's network on a machine over ssh that has no such sensor: the reason is told."""

from pathlib import Path

import pytest
from edgekd.devices.base import Work
from edgekd.devices.local import Local, can_run, how_to_get
from edgekd.errors import MissingError

from tests.devices.jobs import IMAGES


def work(folder: Path, name: str = "network.onnx") -> Work:
    (folder / name).write_bytes(b"")
    return Work("imx500", "imx", folder / name, {"step": 1 / 128, "signed": True, "outputs": {}})


def test_without_picamera2_it_is_told_how_it_comes(server, tmp_path):
    with pytest.raises(MissingError, match="lacks a runtime: No module named 'picamera2'") as told:
        server.device().outputs(work(tmp_path), IMAGES[:1])
    assert "sudo apt install imx500-all python3-picamera2" in told.value.hint


def test_here_too(tmp_path):
    assert not can_run("imx")
    assert "sudo apt install" in how_to_get("imx")
    with pytest.raises(MissingError, match="picamera2"):
        Local().outputs(work(tmp_path), IMAGES[:1])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("network.onnx", r"cannot run it in its sensor: network\.onnx is no firmware"),
        ("packerOut.zip", "imx500-package is not here"),
        ("network.rpk", "camera dev-node not found"),
    ],
)
def test_each_reason_has_its_sentence(tmp_path, monkeypatch, name, reason):
    package = tmp_path / "picamera2"
    package.mkdir()
    (package / "__init__.py").write_text('"""A stand-in."""\nclass Picamera2: pass\n')
    (package / "devices.py").write_text(
        "class IMX500:\n    def __init__(self, file, tensor_injection=False):\n"
        "        raise RuntimeError('IMX500: Requested camera dev-node not found')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingError, match=reason) as told:
        Local().outputs(work(tmp_path, name), IMAGES[:1])
    assert "edgekd firmware" in told.value.hint
