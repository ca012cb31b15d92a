import json

from edgekd.toolchains.lock import names


def test_what_there_is_and_what_is_here(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    listed = json.loads(cli("fetch", "--json").stdout)
    assert [entry["name"] for entry in listed] == names()
    assert {entry["folder"] for entry in listed} == {None}
    assert cli("fetch").stdout.count(" no ") == len(names())
    assert json.loads(cli("doctor", "--json").stdout)["fetched"] == []


def test_the_licence_is_told_first(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    done = cli("fetch", "tensorrt-rtx")
    assert done.returncode == 2
    assert done.stdout == "tensorrt-rtx: NVIDIA TensorRT Software License Agreement; 113.3 MB\n"
    assert "--accept-licence" in done.stderr
    done = cli("fetch", "velaa")
    assert done.returncode == 2
    assert "did you mean `vela`?" in done.stderr
