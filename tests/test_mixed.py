"""Controls and mixed precision in whole runs: a board of 4-bit weights, and what sensitivity writes for it."""

import json
import tomllib
from pathlib import Path

import pytest
from edgekd.pipeline import Result, resolve, run
from edgekd.quantize.controls import TOOLS, Tool

from tests.conftest import TINY_CLASSIFIER, shortened

FOUR_BITS = """extends = "jetson-orin-nano"
schema = 1
name = "four"
title = "A board of 4-bit weights"
[engines.tensorrt.arithmetic]
weights = { bits = 4, per = "tensor" }
simulated = true
"""
LENIENT = (*TINY_CLASSIFIER, "gates.min_retained=0", "gates.min_gain=0", "ship=ptq")
ONE = 100 / 60 + 0.01
"""Of 60 test pictures one may fall otherwise: sensitivity scores torch's quantizers, a run the integer reference."""
CONTROLS = tuple(f"arms.{method}.method={method}" for method in TOOLS)


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("boards") / "four.toml"
    path.write_text(FOUR_BITS)
    return path


@pytest.fixture(scope="module")
def four(store: Path, board: Path) -> Result:
    """A tiny run for it without the arms that train; its float steps are those of other targets."""
    recipe = shortened(board.parent, "classifier", ("fp32-tuned", "qat-dfd"))
    return run(*resolve(recipe, str(board), (*LENIENT, *CONTROLS)), store)


def scores(result: Result, name: str = "accuracy") -> dict[str, float]:
    return {f.subject: f.value for f in result.figures if f.name == name}


@pytest.mark.parametrize("method", TOOLS)
def test_controls_are_arms_that_train_nothing(jetson, method):
    pytest.importorskip(TOOLS[method].package)
    manifest, page = jetson.bundle.manifest, jetson.report.read_text(encoding="utf-8")
    assert manifest.arms[method].method == method
    assert f"{method} {method}" in manifest.steps
    assert not {f"export {method}", f"teach {method}"} & set(manifest.steps)
    assert f"arms/{method}.curve.json" not in manifest.files
    found = scores(jetson, "psnr")
    assert abs(found[method] - found["fp32"]) < 0.3
    assert found[method] != found["ptq"]
    assert f"{found[method]:.3f}" in page
    assert manifest.arms[method].title in page


def test_what_is_not_installed_is_left_out_and_told(classified, store, monkeypatch):
    """Everything else is in the store already."""
    monkeypatch.setitem(TOOLS, "ptq-nncf", Tool("edgekd_has_no_such_tool", "nncf", TOOLS["ptq-nncf"].quantize))
    bare = run(*resolve("classifier", "x86", (*TINY_CLASSIFIER, *CONTROLS)), store)
    note = next(n for n in bare.notes if n.where == "arms.ptq-nncf")
    assert (note.message, note.hint) == (
        "left out: `edgekd_has_no_such_tool` is not installed",
        "pip install 'edgekd[nncf]'",
    )
    assert len([n for n in bare.notes if n.where == "arms.ptq-nncf"]) == 1
    assert "ptq-nncf" not in bare.bundle.manifest.arms
    assert not (bare.bundle.path / "arms/ptq-nncf.onnx").exists()
    assert "arms.ptq-nncf left out: `edgekd_has_no_such_tool` is not installed" in bare.report.read_text()
    assert bare.verification.failures == []


def test_what_no_tool_can_express_is_left_out_and_told(four):
    assert set(four.bundle.manifest.left_out) == set(TOOLS)
    for method in TOOLS:
        assert (
            f"`{method}` gives 8-bit codes with real scales, the target has 4-bit weights"
            in (four.bundle.manifest.left_out[method])
        )
        assert method not in scores(four)


def test_sensitivity_chooses_and_its_recipe_is_better(four, store, board, cli, tmp_path):
    done = cli("sensitivity", four.folder, "--max-layers", "2", "--write", "mixed.toml", "--json")
    assert done.returncode == 0, done.stderr
    found, before = json.loads(done.stdout), scores(four)
    assert found["full"] == pytest.approx(before["fp32"], abs=0.01)
    assert found["quantized"] == pytest.approx(before["ptq"], abs=ONE)
    assert found["samples"] == 60
    assert 1 <= len(found["keep"]) <= 2
    best = max(t["metric"] for t in found["trials"] if t["chosen"])
    assert best > found["quantized"] + 5
    recipe = tomllib.loads((tmp_path / "mixed.toml").read_text())
    assert recipe["quantize"]["keep"] == found["keep"]
    again = run(*resolve(str(tmp_path / "mixed.toml"), str(board), ()), store)
    assert scores(again)["ptq"] == pytest.approx(best, abs=ONE)
    assert scores(again)["fp32"] == before["fp32"]
    a, b = four.bundle.manifest.steps, again.bundle.manifest.steps
    assert a["teach fp32"] == b["teach fp32"]
    assert a["ptq ptq"] != b["ptq ptq"]
    assert a["export ptq"] != b["export ptq"]


def test_a_table_for_people_and_a_budget_that_cannot_be_reached(four, cli):
    done = cli("sensitivity", four.folder, "--samples", "20", "--budget", "0", "--max-layers", "1")
    assert done.returncode == 1
    assert "error: budget: the best choice loses" in done.stderr
    assert "MACs" in done.stdout
    assert "the same samples choose the layers: judge the choice on others" in done.stdout
    assert "mean of 20 samples" in done.stdout
    assert "kept" in done.stdout


def test_weights_that_are_gone_are_told(classified, cli, tmp_path):
    import shutil

    copy = shutil.copytree(classified.folder, tmp_path / "run")
    done = cli("sensitivity", copy)
    assert done.returncode == 3
    assert "are not in the store beside it" in done.stderr


def test_it_never_overwrites(classified, cli, tmp_path):
    (tmp_path / "mine.toml").write_text("")
    done = cli("sensitivity", classified.folder, "--budget", "1", "--write", "mine.toml")
    assert done.returncode == 2
    assert "exists already" in done.stderr
