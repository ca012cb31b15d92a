"""Several runs in one page."""

import re
import shutil

from edgekd.evidence import Bundle
from edgekd.report.compare import read_run, write_comparison


def shown(path) -> str:
    return re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))


def test_runs_of_one_metric_stand_in_one_table(jetson, x86_run, tmp_path):
    page = shown(write_comparison([jetson.bundle, x86_run.bundle], tmp_path / "compare.html"))
    assert page.count("<h2>") == 1
    assert "<h2>PSNR, dB</h2>" in page
    assert "different samples" not in page
    for result in (jetson, x86_run):
        assert f">{result.bundle.manifest.name}</a>" in page
        link = re.search(rf'href="([^"]*{result.folder.name}/report.html)"', page)
        assert link
        assert (tmp_path / link[1]).is_file()
        for figure in result.figures:
            if (figure.name, figure.subject) in {("psnr", "fp32"), ("psnr", "qat-dfd"), ("psnr", "openvino")}:
                assert f"{figure.value:.3f}" in page
    assert not re.search(r'src="(?!data:)', page)
    assert "<script" not in page


def test_only_what_was_meant_to_run_here_has_a_latency(jetson, x86_run, tmp_path):
    assert all(row.latency is None for row in read_run(jetson.bundle).rows)
    timed = {row.title: row for row in read_run(x86_run.bundle).rows if row.latency}
    assert set(timed) == {"FP32", "openvino"}
    page = shown(write_comparison([x86_run.bundle, jetson.bundle], tmp_path / "compare.html"))
    assert page.count("measured, short measurement; OpenVINO") == 2  # of 20 runs
    assert "Against latency" in page
    alone = shown(write_comparison([jetson.bundle, jetson.bundle], tmp_path / "alone.html"))
    assert "Against latency" not in alone
    assert "Against size" in alone


def test_runs_of_two_metrics_stand_apart(x86_run, classified, tmp_path):
    page = shown(write_comparison([x86_run.bundle, classified.bundle], tmp_path / "compare.html"))
    assert "<h2>PSNR, dB</h2>" in page
    assert "<h2>accuracy, %</h2>" in page


def test_a_device_has_rows_of_its_own(x86_run, tmp_path):
    bundle = Bundle(shutil.copytree(x86_run.folder, tmp_path / "run"))
    mine = next(f for f in x86_run.figures if (f.name, f.subject) == ("latency", "openvino"))
    there = {"device": "ssh://user@board", "host": "a board", "value": 77.5, "interval": (77.0, 78.0)}
    bundle.ledger.add([mine.model_copy(update=there)])
    rows = {row.device: row for row in read_run(bundle).rows if row.title == "openvino"}
    assert rows["ssh://user@board"].latency.value == 77.5
    assert rows[""].latency == mine
    page = shown(write_comparison([bundle, x86_run.bundle], tmp_path / "compare.html"))
    assert "a board; threads" in page
    assert "on ssh://user@board<" in page
    assert page.count("not scored there") == 1


def test_a_devices_own_score_stands_in_its_row(x86_run, tmp_path):
    """As `bench` writes it: about the engine on the device."""
    bundle = Bundle(shutil.copytree(x86_run.folder, tmp_path / "run"))
    mine = next(f for f in x86_run.figures if (f.name, f.subject) == ("psnr", "openvino"))
    there = {"device": "ssh://user@board", "subject": "openvino on ssh://user@board", "value": 11.25}
    bundle.ledger.add([mine.model_copy(update=there)])
    rows = {row.device: row for row in read_run(bundle).rows if row.title == "openvino"}
    assert (rows["ssh://user@board"].score.value, rows[""].score.value) == (11.25, mine.value)
    assert "not scored there" not in shown(write_comparison([bundle, x86_run.bundle], tmp_path / "compare.html"))


def test_links_lead_to_folders_of_any_name(x86_run, tmp_path):
    bundle = Bundle(shutil.copytree(x86_run.folder, tmp_path / "50 % #1"))
    page = shown(write_comparison([bundle, x86_run.bundle], tmp_path / "compare.html"))
    assert 'href="50%20%25%20%231/report.html"' in page


def test_other_samples_are_told(jetson, tmp_path):
    bundle = Bundle(shutil.copytree(jetson.folder, tmp_path / "run"))
    score = next(f for f in jetson.figures if (f.name, f.subject) == ("psnr", "fp32"))
    bundle.ledger.add([score.model_copy(update={"details": {"another": 20.0}})])
    assert "different samples" in shown(write_comparison([bundle, jetson.bundle], tmp_path / "compare.html"))


def test_it_is_a_function_of_the_ledgers(jetson, x86_run, tmp_path):
    path = write_comparison([jetson.bundle, x86_run.bundle], tmp_path / "compare.html")
    before = path.read_bytes()
    assert write_comparison([jetson.bundle, x86_run.bundle], path).read_bytes() == before


def test_the_verb(jetson, x86_run, cli, tmp_path):
    done = cli("report", jetson.folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(jetson.report)
    done = cli("report", jetson.folder, x86_run.folder, jetson.folder, "--out", "two.html")
    assert done.stdout == "two.html\n"
    assert "2 runs compared" in (tmp_path / "two.html").read_text()
    assert cli("report", jetson.folder, "--out", "one.html").returncode == 2
    assert cli("report", "gone").returncode == 3
