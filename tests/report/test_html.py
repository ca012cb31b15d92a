"""The report stands alone, and shows what the ledger holds."""

import re

from edgekd.report.html import si, write_report


def test_one_file_without_network(jetson):
    page = jetson.report.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert page.count("data:image/webp") == 3 * 7


def test_it_shows_what_was_measured(jetson):
    page = jetson.report.read_text(encoding="utf-8")
    figures = {(f.name, f.subject): f for f in jetson.figures}
    for name in ("noisy input", "fp32", "fp32-tuned", "ptq", "qat-dfd", "openvino", "onnxruntime"):
        assert f"{figures['psnr', name].value:.3f}" in page
    assert "No latency was measured: this host is not a NVIDIA Jetson Orin Nano" in page
    assert "estimated" in page
    assert jetson.bundle.manifest.name in page
    for digest in jetson.bundle.manifest.data.values():
        assert digest in page


def test_latency_where_this_host_is_the_target(x86_run):
    page = x86_run.report.read_text(encoding="utf-8")
    latencies = [f for f in x86_run.figures if f.name == "latency"]
    assert [f.subject for f in latencies] == ["fp32", "openvino"]
    assert all(f.kind == "measured" and f.n == 20 and "threads" in f.details for f in latencies)
    assert f"{latencies[1].value:.3g}" in page


def test_writing_it_again_changes_nothing(jetson):
    before = jetson.report.read_bytes()
    assert write_report(jetson.bundle).read_bytes() == before


def test_prefixes():
    assert [si(x) for x in (12, 1234, 1_034_588, 991_608_832)] == ["12", "1.23 k", "1.03 M", "992 M"]
