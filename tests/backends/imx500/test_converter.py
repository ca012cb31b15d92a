"""The converter is a program that a person brings; here a stand-in that emits its public output set, and converts
nothing."""

import json
import os
import time
from pathlib import Path

import pytest
from edgekd.backends.base import FirmwareRequest
from edgekd.backends.imx500 import converter
from edgekd.backends.imx500.firmware import make
from edgekd.backends.imx500.kit import write_kit
from edgekd.errors import EdgekdError, GateFailedError, MissingError, ProblemsError, RequestError

from tests.backends.imx500.files import OPTIONS, artifact, dialect, job, packed, report, rpk, stand_in, xml


@pytest.fixture
def kit(tmp_path, monkeypatch):
    monkeypatch.delenv(converter.VARIABLE, raising=False)
    folder = tmp_path / "kit"
    folder.mkdir()
    write_kit(dialect(), job(), OPTIONS, folder)
    (folder / "artifact.json").write_text(json.dumps(artifact().plain()))
    return folder


def convert(kit: Path, program: Path | None, persistent: bool = False, **more: object):
    return make(kit, kit, FirmwareRequest(converter=program, **more), persistent)


def test_without_one_it_is_a_kit(kit):
    record = convert(kit, None)
    assert record.kind == "kit"
    assert {*record.facts} == {"estimate"}
    assert "--converter" in record.next[0]


def test_what_it_leaves_is_held_against_the_network(kit, tmp_path):
    said: list[str] = []
    record = convert(kit, stand_in(tmp_path / "tool"), say=said.append)
    assert record.kind == "converted"
    assert record.tool == "imxconv-pt, stand-in 0.1"
    assert record.facts["memory"] == {"total": 8388480, "reserved": 1024, "runtime": 1012736, "coefficients": 707744}
    assert record.facts["estimate"]["runtime"] == "900,000 to 1,100,000"
    assert record.facts["converter"] == "3.14.15"
    assert {path.name for path in (kit / "converted").iterdir()} == set(converter.files_of("network"))
    called = (tmp_path / "tool" / "called.txt").read_text().split()
    assert called[::2][:2] == ["-i", "-o"]
    assert called[4:] == ["--overwrite-output", "--no-input-persistency"]
    assert any("licence" in text for text in said)
    assert {"reading the network", "packed"} <= {*said}
    assert not list(kit.glob(".converting-*"))


def test_a_persistent_input_is_the_converters_own_default(kit, tmp_path):
    convert(kit, stand_in(tmp_path / "tool"), persistent=True)
    assert "persistency" not in (tmp_path / "tool" / "called.txt").read_text()


def test_the_variable_names_it_too(kit, tmp_path, monkeypatch):
    monkeypatch.setenv(converter.VARIABLE, str(stand_in(tmp_path / "tool")))
    assert convert(kit, None).kind == "converted"


def test_a_name_without_a_program_is_missing(kit, tmp_path, monkeypatch):
    with pytest.raises(MissingError, match="`--converter` names"):
        convert(kit, tmp_path / "nothing")
    monkeypatch.setenv(converter.VARIABLE, "no-such-program")
    with pytest.raises(MissingError, match="`EDGEKD_IMX500_CONVERTER` names"):
        convert(kit, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"before": "sys.exit('Exception: node Foo is not supported')"}, "exit code 1: .*node Foo is not supported"),
        ({"before": "import os; os.kill(os.getpid(), 9)"}, "exit code -9; it was killed"),
        ({"leave_out": ["packerOut.zip"]}, "left no `packerOut.zip`: .*Converting network.onnx"),
        ({"leave_out": ["network_MemoryReport.json"]}, "left no `network_MemoryReport.json`"),
        ({"after": "(out / 'packerOut.zip').write_bytes(b'')"}, "left `packerOut.zip` of 0 bytes"),
        ({"after": "(out / 'network.pbtxt').unlink(); (out / 'network.pbtxt').symlink_to('/etc/passwd')"}, "left no"),
        ({"zip": packed(xml())[:400]}, "`packerOut.zip` is damaged"),
        ({"zip": packed(xml(scale=0.5))}, "is not the one beside it"),
        ({"report": b"{}"}, "memory report is not understood"),
        ({"xml": b"<!DOCTYPE a><a/>"}, "declares a document type"),
    ],
)
def test_what_goes_wrong_is_told(kit, tmp_path, arguments, message):
    with pytest.raises(RequestError, match=message):
        convert(kit, stand_in(tmp_path / "tool", **arguments))
    assert not (kit / "converted").exists()
    assert (kit / converter.LOG).is_file()
    assert not list(kit.glob(".converting-*"))


def test_one_that_hangs_is_ended_with_all_that_it_started(kit, tmp_path):
    mark = tmp_path / "child"
    hang = "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
    hang += f"Path({str(mark)!r}).write_text(str(child.pid))\ntime.sleep(60)"
    with pytest.raises(RequestError, match="did not end within 2 s"):
        convert(kit, stand_in(tmp_path / "tool", before=hang), timeout=2)
    child = int(mark.read_text())
    for _ in range(50):
        if not alive(child):
            return
        time.sleep(0.1)
    raise AssertionError("its child is still there")


def alive(process: int) -> bool:
    """Whether a process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_failed_conversion_leaves_an_earlier_one_as_it_was(kit, tmp_path):
    convert(kit, stand_in(tmp_path / "good"))
    before = (kit / "converted" / "packerOut.zip").read_bytes()
    with pytest.raises(EdgekdError):
        convert(kit, stand_in(tmp_path / "bad", leave_out=["dnnParams.xml"]))
    assert (kit / "converted" / "packerOut.zip").read_bytes() == before


def test_a_network_that_does_not_fit_fails_the_gate(kit, tmp_path):
    with pytest.raises(GateFailedError, match="does not fit in the chip"):
        convert(kit, stand_in(tmp_path / "tool", report=report(fits=False).encode()))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"xml": xml(scale=1 / 32).encode()}, "input: the converter has the scale 0.03125"),
        ({"report": report(runtime="1.50MB").encode()}, "the memory report has 1,572,864 bytes"),
    ],
)
def test_another_network_is_refused(kit, tmp_path, files, message):
    with pytest.raises(ProblemsError, match=message):
        convert(kit, stand_in(tmp_path / "tool", **files))


def test_a_program_that_does_not_start_is_told(kit, tmp_path):
    program = tmp_path / "imxconv-pt"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    with pytest.raises(RequestError, match="does not start"):
        convert(kit, program)
    assert os.access(kit / "network.onnx", os.R_OK)


def test_what_is_packaged_gets_its_intrinsics(kit, tmp_path):
    path = tmp_path / "packaged.rpk"
    path.write_bytes(rpk())
    record = convert(kit, None, packaged=path)
    assert record.kind == "firmware"
    data = (kit / "network.rpk").read_bytes()
    assert b'"task": "segmentation"' in data
    assert data.startswith(path.read_bytes()[:268])
