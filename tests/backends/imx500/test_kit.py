"""The kit as a person would use it: on a PC with a stand-in for the converter, on a Pi with one for the camera."""

import json
import os
import runpy
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest
from edgekd.backends.imx500.kit import TEMPLATES, runner_options, write_kit
from edgekd.devices.job import RUNNERS
from edgekd.errors import RequestError
from edgekd.graph.roi import LEAST, MARGIN
from edgekd.graph.roi import region as trained
from edgekd.schema.io import Region
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.backends.imx500.files import OPTIONS, answer, dialect, job, stand_in

region = runpy.run_path(str(TEMPLATES / "region.py"))["region"]
PROMPT = Region(margin=MARGIN, least=LEAST)


@pytest.fixture
def kit(tmp_path):
    folder = tmp_path / "kit"
    folder.mkdir()
    write_kit(dialect(), job(region=PROMPT), OPTIONS, folder)
    return folder


def test_it_holds_what_is_handed_on(kit):
    assert {path.name for path in kit.iterdir()} == {
        "network.onnx", "network.json", "input_format.json", "network_intrinsics.json", "README.md", "SHA256SUMS",
        "convert.sh", "package.sh", "run.py", "inject.py", "imx.py", "region.py",
        *(f"probe-{i}.{end}" for i in (0, 1) for end in ("npy", "png")), "expected-0-0.npy", "expected-1-0.npy",
    }  # fmt: skip
    assert onnx.load(kit / "network.onnx") == dialect()
    assert json.loads((kit / "input_format.json").read_text()) == [{"ordinal": 0, "format": "RGB"}]
    told = json.loads((kit / "network.json").read_text())
    assert told["region"] == {"margin": MARGIN, "least": LEAST}
    assert (told["step"], told["signed"], told["probes"]) == (1 / 128, True, 2)
    assert (kit / "imx.py").read_bytes() == (RUNNERS / "imx.py").read_bytes()
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=kit, check=False).returncode == 0


@pytest.mark.parametrize("signed", [True, False])
def test_probes_are_pixels_and_the_expected_codes(tmp_path, signed):
    write_kit(dialect(signed=signed), job(signed=signed), OPTIONS, tmp_path)
    for i in range(2):
        pixels = np.load(tmp_path / f"probe-{i}.npy", allow_pickle=False)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (6, 10, 3))
        assert len(np.unique(pixels)) > 100
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"probe-{i}.png")), pixels)
        codes = np.load(tmp_path / f"expected-{i}-0.npy", allow_pickle=False)
        assert codes.dtype == np.int8
        np.testing.assert_array_equal(codes[0], answer(pixels, signed=signed))


def test_another_order_of_colours_is_told_and_the_picture_stays_as_a_person_sees_it(tmp_path):
    write_kit(dialect(), job(), SimpleNamespace(persistent=True, format="BGR"), tmp_path)
    assert json.loads((tmp_path / "input_format.json").read_text())[0]["format"] == "BGR"
    pixels = np.load(tmp_path / "probe-0.npy", allow_pickle=False)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "probe-0.png"))[..., ::-1], pixels)
    text = (tmp_path / "README.md").read_text()
    assert "order of colours, BGR" in text
    assert "persistency" not in text
    assert "--box" not in text


def test_it_explains_itself_and_every_command_is_whole(kit):
    texts = [(kit / name).read_text() for name in ("README.md", "convert.sh", "package.sh")]
    assert not any("@" in text.replace('"$@"', "") for text in texts)
    assert "-i network.onnx -o converted --overwrite-output --no-input-persistency" in texts[0]
    assert "-i converted/packerOut.zip -o packaged -f input_format.json" in texts[0]
    assert "--box" in texts[0]
    listed = {line.split("`")[1] for line in texts[0].splitlines() if line.startswith("| `")}
    assert all(list(kit.glob(name)) for name in listed)


def test_its_scripts_convert_and_notice_a_damaged_network(kit, tmp_path):
    program = stand_in(tmp_path / "tool", before="out.mkdir(exist_ok=True)")
    script = ["sh", "convert.sh"]
    environment = os.environ | {"EDGEKD_IMX500_CONVERTER": str(program)}
    done = subprocess.run(script, cwd=kit, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (kit / "converted" / "packerOut.zip").is_file()
    with (kit / "network.onnx").open("ab") as file:
        file.write(b"x")
    done = subprocess.run(script, cwd=kit, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_a_network_that_the_sensor_does_not_take_is_refused(tmp_path):
    grey = dialect()
    grey.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    with pytest.raises(RequestError, match="one input of pictures"):
        write_kit(grey, job(), OPTIONS, tmp_path)
    bare = dialect()
    del bare.graph.node[-1]
    bare.graph.node[-1].output[0] = "output"
    with pytest.raises(RequestError, match="`output` has no quantizer"):
        write_kit(bare, job(), OPTIONS, tmp_path)


@given(
    box=st.tuples(*[st.floats(-500, 5000)] * 2, *[st.floats(-1, 6000)] * 2),
    size=st.tuples(st.integers(4, 3040), st.integers(4, 4056)),
)
def test_a_box_becomes_the_region_that_training_saw(box, size):
    try:
        roi = trained(box, size)
    except RequestError:
        with pytest.raises(ValueError, match="the box"):
            region(box, size, MARGIN, LEAST)
        return
    assert region(box, size, MARGIN, LEAST) == (roi.x, roi.y, roi.width, roi.height)


def test_without_picamera2_the_scripts_say_how_to_get_it(kit):
    for name in ("run.py", "inject.py"):
        done = subprocess.run([sys.executable, name], cwd=kit, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "sudo apt install imx500-all python3-picamera2" in done.stderr
        assert "Traceback" not in done.stderr


class Sensor:
    """A stand-in for camera and sensor, as picamera2 shows them: it answers an injected input by integers, two frames
    later, and takes times from a list; a frame in three is without a result."""

    regions: list[tuple[int, ...]] = []
    camera_num = 0

    def __init__(self, file: str, tensor_injection: bool = False) -> None:
        assert Path(file).is_file()
        self.device_fd, self.counter, self.due, self.shift = object(), 250, None, 0
        self.value, self.codes = None, np.zeros((6, 10), np.int8)

    def set_inference_roi_abs(self, roi: tuple[int, ...]) -> None:
        Sensor.regions.append(roi)

    def inject(self, data: bytes) -> None:
        planes = np.frombuffer(data, np.int8).reshape(3, 6, 32)
        assert not planes[:, :, 10:].any()
        self.codes = answer(planes[:, :, :10].transpose(1, 2, 0).astype(int) + 128)
        self.due = (self.counter + 2) % 256

    def get_injection_cmp_frm(self) -> int:
        return self.due

    def frame(self) -> dict[str, object]:
        self.counter = (self.counter + 1) % 256
        if self.counter % 3 == 0 and self.counter != self.due:
            return {}
        seen = self.codes if self.due is None or (self.counter - self.due) % 256 < 128 else np.zeros_like(self.codes)
        info = bytearray(712)
        info[708] = self.counter
        return {"CnnOutputTensorInfo": bytes(info), "codes": seen + self.shift, "kpi": (10.0 + self.counter % 2, 2.0)}

    def get_outputs(self, told: dict[str, object]) -> "list[np.ndarray] | None":
        return [told["codes"].astype(np.float32)[None] * 4 / 128] if "codes" in told else None

    @staticmethod
    def get_kpi_info(told: dict[str, object]) -> object:
        return told.get("kpi")


@pytest.fixture
def pi(monkeypatch, kit):
    """The kit's scripts with that stand-in in the place of picamera2; the sensor that they open last."""
    opened: list[Sensor] = []

    class Opened(Sensor):
        def __init__(self, *args: object, **more: object) -> None:
            super().__init__(*args, **more)
            opened.append(self)

    class Camera:
        def __init__(self, number: int) -> None:
            self.closed = False

        def create_preview_configuration(self, **more: object) -> object:
            return more

        def start(self, configuration: object, show_preview: bool) -> None:
            assert not show_preview

        def capture_metadata(self) -> dict[str, object]:
            return opened[-1].frame()

        def close(self) -> None:
            self.closed = True

    package, devices = ModuleType("picamera2"), ModuleType("picamera2.devices")
    package.Picamera2, devices.IMX500 = Camera, Opened

    def ioctl(device: object, request: int, argument: bytes) -> None:
        control, memory = struct.unpack("=Ii", argument)
        assert (device, request, control) == (opened[-1].device_fd, 0xC008561C, 0x00982904)
        opened[-1].inject(os.pread(memory, 2**20, 0))

    Sensor.regions.clear()
    (kit / "network.rpk").write_bytes(b"a stand-in")
    monkeypatch.setattr("fcntl.ioctl", ioctl)
    monkeypatch.setitem(sys.modules, "picamera2", package)
    monkeypatch.setitem(sys.modules, "picamera2.devices", devices)
    monkeypatch.syspath_prepend(str(kit))
    for name in ("imx", "region"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield opened
    for name in ("imx", "region"):
        sys.modules.pop(name, None)


def script(kit: Path, name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit code of a script in this process."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    try:
        runpy.run_path(str(kit / name), run_name="__main__")
    except SystemExit as end:
        return end.code
    return 0


def test_the_sensors_times_are_read_out(pi, kit, monkeypatch, capsys):
    mask = kit / "mask.pgm"
    code = script(kit, "run.py", monkeypatch, "--box", "1500", "900", "800", "600", "--json", "--mask", str(mask))
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    roi = trained((1500, 900, 800, 600), (3040, 4056))
    assert Sensor.regions == [(roi.x, roi.y, roi.width, roi.height)]
    assert 10 <= told["dnn_ms"]["p50"] <= told["dnn_ms"]["p95"] == 11
    assert told["dsp_ms"] == {"p50": 2.0, "p95": 2.0}
    assert told["frames"] - told["without_result"] == 300
    assert 0.3 < told["share_without"] < 0.36
    assert mask.read_bytes().startswith(b"P5 10 6 255\n")


def test_a_box_beside_the_sensor_is_told(pi, kit, monkeypatch):
    assert "outside" in script(kit, "run.py", monkeypatch, "--box", "5000", "0", "10", "10")


def test_the_sensors_codes_are_compared(pi, kit, monkeypatch, capsys):
    assert script(kit, "inject.py", monkeypatch, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["probe"], row["codes"], row["equal"]) for row in rows] == [(0, 60, 60), (1, 60, 60)]


def test_other_codes_fail(pi, kit, monkeypatch, capsys):
    expected = np.load(kit / "expected-1-0.npy")
    expected[0, 2, 3] += 1 if expected[0, 2, 3] < 127 else -1
    np.save(kit / "expected-1-0.npy", expected)
    assert script(kit, "inject.py", monkeypatch) == 1
    assert "probe 1, output: 59 of 60 codes equal, largest difference 1" in capsys.readouterr().out


def test_the_runner_answers_and_times_like_any_other(pi, kit):
    import imx

    model, options = kit / "network.rpk", runner_options(dialect(), OPTIONS)
    probe = job()
    session = imx.Session(model, **options)
    for inputs, expected in zip(probe.inputs, probe.expected, strict=True):
        np.testing.assert_array_equal(session.run(inputs)["output"], expected["output"])
    timed = imx.time_model(model, options, probe.inputs[0], 5, 40, 0.0)
    assert len(timed["seconds"]) == 40
    assert min(timed["seconds"]) == pytest.approx(0.012)
    assert timed["frames_without_result"] == pytest.approx(1 / 3, abs=0.05)
    with pytest.raises(RuntimeError, match="shows no tensors"):
        imx.Session(model, ["x"])
    with pytest.raises(RuntimeError, match=r"network\.onnx is no firmware"):
        imx.Session(kit / "network.onnx", **options)
    with pytest.raises(RuntimeError, match="imx500-package is not here"):
        imx.Session(kit / "packerOut.zip", **options)


def test_what_the_converter_made_is_packaged_there(pi, kit, monkeypatch, tmp_path):
    """A stand-in for `imx500-package` checks what it is told and writes a file."""
    import imx

    program = tmp_path / "bin" / "imx500-package"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ngrep -q BGR "$6" && [ -f "$2" ] && echo made > "$4/network.rpk"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (kit / "packerOut.zip").write_bytes(b"")
    assert imx.ready(kit / "packerOut.zip", tmp_path, "BGR").read_text() == "made\n"
    (tmp_path / "network.rpk").unlink()
    with pytest.raises(imx.SensorError, match="imx500-package failed"):
        imx.ready(kit / "packerOut.zip", tmp_path, "RGB")


def test_a_pi_without_the_sensor_says_so(pi, kit, monkeypatch):
    import imx

    def absent(*args: object, **more: object) -> None:
        raise RuntimeError("IMX500: Requested camera dev-node not found")

    monkeypatch.setattr(imx, "IMX500", absent)
    with pytest.raises(imx.SensorError, match="dev-node not found") as told:
        imx.Camera(kit / "network.rpk")
    assert told.value.kind == "sensor"
