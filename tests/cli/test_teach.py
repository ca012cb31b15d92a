"""`edgekd teach` as a person uses it."""

import json
from pathlib import Path

import pytest
from edgekd.asking import teach
from edgekd.cli.teach import parts
from edgekd.errors import EdgekdError, RequestError
from edgekd.pipeline import named_recipe
from edgekd.train.cache import Answers

from tests.shapes import write_shapes

RECIPE = ("picosam3", "--set", "data.source=data", "--set", "data.least=10", "--set", "teacher.source=masks:teacher")


@pytest.fixture
def data(tmp_path: Path) -> None:
    write_shapes(tmp_path / "data")
    write_shapes(tmp_path / "teacher", grown=1.3)


@pytest.mark.usefixtures("data")
def test_two_machines_fill_a_folder_that_a_run_can_use(cli, tmp_path):
    half = cli("teach", *RECIPE, "--set", "teacher.views=8", "--out", "cache", "--shard", "0/2")
    assert half.returncode == 0, half.stderr
    assert "1 of 2 shards" in half.stdout
    assert "next:" not in half.stdout
    early = cli("compress", *RECIPE, "--target", "x86", "--set", "teacher.views=8", "--set", "teacher.cache=cache")
    assert early.returncode == 3
    assert "`cache` holds 1 of 2 shards of answers" in early.stderr
    assert "hint: fill it: edgekd teach RECIPE --out cache" in early.stderr
    rest = json.loads(
        cli("teach", *RECIPE, "--set", "teacher.views=8", "--out", "cache", "--shard", "1/2", "--json").stdout
    )
    assert rest["shards"] == rest["of"] == 2
    assert rest["bytes"] == sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.npy"))
    assert Answers(tmp_path / "cache").look("shapes-0-1", 7)[1] == 1
    again = cli("teach", *RECIPE, "--set", "teacher.views=8", "--out", "cache")
    assert again.stdout.startswith("0 new answers\n")
    assert "next: edgekd compress picosam3" in again.stdout


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("picosam3", (), "names no teacher"),
        ("qdr", ("teacher.source=litemedsam",), "learns from no teacher outside"),
        ("picosam3", ("teacher.source=masks:gone",), "does not exist"),
        ("picosam3", ("teacher.source=masks:gone", "teacher.vews=2"), "vews: unknown key"),
    ],
)
def test_what_is_wrong_is_a_sentence(tmp_path, name, overrides, words):
    with pytest.raises(EdgekdError, match=words):
        teach(named_recipe(name, overrides), tmp_path / "cache", (0, 1), lambda *args: None)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("shard", ["2/2", "half", "1/", "-1/2", "0/0", "1/2/3"])
def test_a_shard_is_one_of_several(shard):
    with pytest.raises(RequestError, match=r"is not K/N with K below N"):
        parts(shard)
    assert parts("1/3") == (1, 3)


def test_a_mistake_ends_without_a_traceback(cli):
    done = cli("teach", "picosam3", "--out", "cache")
    assert done.returncode == 2
    assert done.stderr == ("error: the recipe names no teacher outside\nhint: name it: `--set teacher.source=NAME`\n")
