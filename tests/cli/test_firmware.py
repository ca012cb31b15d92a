"""`edgekd firmware` on a bundle of the sensor's, with a stand-in for the vendor's converter."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edgekd import cli
from edgekd.backends.base import read_artifact
from edgekd.backends.imx500.kit import write_kit
from edgekd.devices.work import work_of
from edgekd.evidence import Bundle, EngineRecord, Manifest
from edgekd.pipeline import resolve
from edgekd.resources import sha256

from tests.backends.imx500.files import OPTIONS, artifact, dialect, info, job, rpk, stand_in, xml


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run's folder with a kit in it, as `edgekd compress` leaves one."""
    monkeypatch.delenv("EDGEKD_IMX500_CONVERTER", raising=False)
    return bundle(tmp_path / "run", "imx500")


def bundle(folder: Path, backend: str) -> Path:
    kit = folder / "bundle" / "artifacts" / backend
    kit.mkdir(parents=True)
    write_kit(dialect(), job(), OPTIONS, kit)
    (kit / "artifact.json").write_text(json.dumps(artifact(backend).plain()))
    recipe, target = resolve("qdr", "imx500" if backend == "imx500" else "x86", ())
    manifest = Manifest(
        name="run", created="2026-01-01T00:00:00Z", recipe=recipe, target=target, arms={},
        engines={backend: EngineRecord(role="target")}, data={}, steps={}, versions={}, host="a host", files={},
    )  # fmt: skip
    text = manifest.model_dump_json(by_alias=True)
    (folder / "bundle" / "manifest.json").write_text(text)
    assert Bundle(folder).manifest == manifest
    return folder


@pytest.fixture
def edgekd(monkeypatch, capsys):
    """The command line in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgekd", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call


def test_without_a_converter_it_is_a_kit_that_says_what_to_do(run, edgekd):
    code, out, err = edgekd("firmware", run)
    assert (code, err) == (0, "")
    assert "a kit" in out.splitlines()[0]
    assert [line[:6] for line in out.splitlines() if line.startswith("next")] == [f"next {i}" for i in range(1, 5)]
    folder = run / "firmware"
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, check=False).returncode == 0
    assert json.loads((folder / "firmware.json").read_text())["kind"] == "kit"
    assert not (run / "bundle" / "firmware").exists()


def test_a_converter_then_a_packaged_file(run, edgekd, tmp_path):
    code, out, _ = edgekd("firmware", run, "--converter", stand_in(tmp_path / "tool"), "--target", "imx500")
    assert code == 0
    assert "converted" in out.splitlines()[0]
    assert "stand-in 0.1" in out
    assert "runtime 1,012,736" in out
    packaged = tmp_path / "network.rpk"
    packaged.write_bytes(rpk())
    code, out, _ = edgekd("firmware", run, "--rpk", packaged, "--json")
    told = json.loads(out)
    assert (code, told["kind"], told["tool"]) == (0, "firmware", "imxconv-pt, stand-in 0.1")
    assert {"memory", "rpk"} <= {*told["facts"]}
    sums = (run / "firmware" / "SHA256SUMS").read_text()
    assert {"converted/packerOut.zip", "network.rpk"} <= {line.split("  ")[1] for line in sums.splitlines()}
    code, out, _ = edgekd("inspect", run / "firmware" / "network.rpk")
    assert code == 0
    assert "10 x 6 RGB, signed codes" in out
    assert "segmentation" in out
    code, out, _ = edgekd("inspect", run / "firmware" / "network.rpk", "--json")
    assert json.loads(out)["info"]["width"] == 10


def test_it_goes_where_it_is_told_but_not_over_other_things(run, edgekd, tmp_path):
    assert edgekd("firmware", run, "--out", tmp_path / "new")[0] == 0
    assert edgekd("firmware", run, "--out", tmp_path / "new")[0] == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    code, _, err = edgekd("firmware", run, "--out", other)
    assert code == 2
    assert "holds something else" in err
    assert [path.name for path in other.iterdir()] == ["letter.txt"]
    assert "is a file" in edgekd("firmware", run, "--out", other / "letter.txt")[2]


def test_a_bundle_is_no_place_for_it(run, edgekd):
    kit = run / "bundle" / "artifacts" / "imx500"
    before = {path.name: sha256(path) for path in kit.iterdir()}
    for folder in (kit, kit / "more", run / "bundle"):
        code, _, err = edgekd("firmware", run, "--out", folder)
        assert code == 2
        assert "lies in the bundle" in err
    assert {path.name: sha256(path) for path in kit.iterdir()} == before


def test_what_was_made_by_hand_is_checked_too(run, edgekd, tmp_path):
    edgekd("firmware", run)
    folder = run / "firmware"
    shutil.copytree(stand_in(tmp_path / "good").parent / "emits", folder / "converted")
    code, out, _ = edgekd("firmware", run)
    assert code == 0
    assert "runtime 1,012,736" in out
    (folder / "network.rpk").write_bytes(rpk(info(size=(7, 7))))
    code, _, err = edgekd("firmware", run)
    assert code == 2
    assert "its size" in err
    (folder / "network.rpk").unlink()
    (folder / "converted" / "packerOut.zip").unlink()
    code, _, err = edgekd("firmware", run)
    assert code == 2
    assert "left no `packerOut.zip`" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--target", "jetson"], 2, "the run is for `imx500`, not for `jetson"),
        (["--target", "imx50"], 2, "did you mean `imx500`?"),
        (["--converter", "/nowhere/imxconv-pt"], 3, "is no program here"),
        (["--rpk", "/nowhere/network.rpk"], 3, "does not exist"),
        (["--timeout", "0"], 2, "timeout"),
    ],
)
def test_mistakes_are_told(run, edgekd, arguments, code, message):
    got, _, err = edgekd("firmware", run, *arguments)
    assert got == code
    assert message in err
    assert "Traceback" not in err


def test_what_is_not_the_networks_is_refused(run, edgekd, tmp_path):
    program = stand_in(tmp_path / "tool", xml=xml(scale=1 / 32).encode())
    code, _, err = edgekd("firmware", run, "--converter", program)
    assert code == 2
    assert "error: input: the converter has the scale 0.03125, the graph 0.0078125" in err
    packaged = tmp_path / "other.rpk"
    packaged.write_bytes(rpk(info(size=(7, 7))))
    code, _, err = edgekd("firmware", run, "--rpk", packaged)
    assert code == 2
    assert "its size" in err
    assert not (run / "firmware" / "network.rpk").exists()


def test_a_kit_that_is_not_as_it_was_written_is_not_handed_on(run, edgekd):
    path = run / "bundle" / "manifest.json"
    manifest = Manifest.model_validate_json(path.read_text())
    kit = run / "bundle" / "artifacts" / "imx500"
    files = {f"artifacts/imx500/{file.name}": sha256(file) for file in kit.iterdir()}
    path.write_text(manifest.model_copy(update={"files": files}).model_dump_json(by_alias=True))
    assert edgekd("firmware", run)[0] == 0
    (kit / "network.json").write_text("{")
    code, _, err = edgekd("firmware", run)
    assert code == 2
    assert "`artifacts/imx500/network.json` is changed or gone" in err


def test_a_target_without_firmware_says_what_else_there_is(tmp_path, edgekd):
    code, _, err = edgekd("firmware", bundle(tmp_path / "run", "onnxruntime"))
    assert code == 2
    assert "`x86` takes no firmware" in err
    assert "hint: " in err


def test_no_run_at_all(tmp_path, edgekd):
    assert edgekd("firmware", tmp_path)[0] == 3


def test_a_damaged_file_is_inspected_to_a_sentence(tmp_path, edgekd):
    (tmp_path / "x.rpk").write_bytes(rpk()[:100])
    code, _, err = edgekd("inspect", tmp_path / "x.rpk")
    assert code == 2
    assert "ends within block 1" in err


def test_bench_takes_what_was_made(run, edgekd, tmp_path):
    def model() -> Path:
        folder = run / "bundle" / "artifacts" / "imx500"
        return work_of(Bundle(run), "imx500", read_artifact(folder)).model.relative_to(run)

    assert model() == Path("bundle/artifacts/imx500/network.onnx")
    edgekd("firmware", run, "--converter", stand_in(tmp_path / "tool"))
    assert model() == Path("firmware/converted/packerOut.zip")
    (tmp_path / "network.rpk").write_bytes(rpk())
    edgekd("firmware", run, "--rpk", tmp_path / "network.rpk")
    assert model() == Path("firmware/network.rpk")
