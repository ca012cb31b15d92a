"""A reader of MANO's file that runs nothing."""

from __future__ import annotations

import os
import pickle
import pickletools
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.students.fast_hamer.hand.arrays import arrays_of
from edgekd.students.fast_hamer.hand.load import load_hand
from edgekd.students.fast_hamer.hand.mano import read_mano
from edgekd.students.fast_hamer.hand.synthetic import synthetic_hand

from tests.students.fast_hamer.hand.files import write


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mano"


def test_every_array_of_a_file_by_python_2(tmp_path: Path) -> None:
    plain = write(tmp_path / "MANO_RIGHT.pkl")
    names = {op.name for op, _, _ in pickletools.genops((tmp_path / "MANO_RIGHT.pkl").read_bytes())}
    model = load_hand(str(tmp_path / "MANO_RIGHT.pkl"))
    ours = (model.template, model.shapedirs, model.posedirs, model.regressor, model.weights, model.faces)
    for array, name in zip(ours, ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f"), strict=True):
        np.testing.assert_array_equal(array, plain[name].astype(array.dtype), err_msg=name)
    assert "BINSTRING" in names
    assert model.tips == (744, 320, 443, 554, 671)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_that_was_written_again_by_python_3(tmp_path: Path, protocol: int) -> None:
    plain = write(tmp_path / "old.pkl")
    plain["bs_type"] = {"lrotmin"}  # type: ignore[assignment]
    (tmp_path / "new.pkl").write_bytes(pickle.dumps(plain, protocol))
    np.testing.assert_array_equal(read_mano(tmp_path / "new.pkl").weights, plain["weights"].astype(np.float32))


def test_a_second_reading_takes_what_was_kept(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "MANO_RIGHT.pkl"
    write(path)
    first = read_mano(path)
    (kept,) = cache.iterdir()
    np.savez(kept, **{**arrays_of(first), "name": np.array("kept")})
    assert read_mano(path).name == "kept"
    kept.write_bytes(b"cut off")
    np.testing.assert_array_equal(read_mano(path).posedirs, first.posedirs)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch run",)


def test_what_would_run_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("MANO_RIGHT.pkl"))
    whole = Path("MANO_RIGHT.pkl").read_bytes()
    for name, data in (("alone", pickle.dumps(Hostile())), ("before", pickle.dumps(Hostile())[:-1] + b"0" + whole)):
        Path(name).write_bytes(data)
        with pytest.raises(RequestError, match=r"names `posix\.system`, which data do not need"):
            read_mano(Path(name))
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "numpy.load", "numpy.core.multiarray.frombuffer", "codecs.decode"])
def test_no_other_name_is_known(tmp_path: Path, name: str) -> None:
    module, _, function = name.rpartition(".")
    (tmp_path / "x.pkl").write_bytes(f"c{module}\n{function}\n.".encode())
    with pytest.raises(RequestError, match="which data do not need"):
        read_mano(tmp_path / "x.pkl")


def test_dotted_names_do_not_reach_further(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__base__\x93.")
    with pytest.raises(RequestError, match="which data do not need"):
        read_mano(tmp_path / "x.pkl")


def test_broken_files_are_told(tmp_path: Path) -> None:
    write(tmp_path / "whole.pkl")
    whole, path = (tmp_path / "whole.pkl").read_bytes(), tmp_path / "MANO_RIGHT.pkl"
    for data in (b"", whole[:100], whole[:-1], whole[: len(whole) // 2], b"not a pickle", bytes(range(256))):
        path.write_bytes(data)
        with pytest.raises(RequestError, match="is damaged"):
            read_mano(path)


def test_flipped_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    write(tmp_path / "whole.pkl")
    whole, rng = (tmp_path / "whole.pkl").read_bytes(), np.random.default_rng(0)
    structure = [at for _, arg, at in pickletools.genops(whole) if not isinstance(arg, str) or len(arg) < 100]
    for at in rng.choice(structure, 60):
        broken = bytearray(whole)
        broken[at] = rng.integers(256)
        (tmp_path / "x.pkl").write_bytes(broken)
        with suppress(RequestError):
            read_mano(tmp_path / "x.pkl")


def test_the_file_of_left_hands_is_told(tmp_path: Path) -> None:
    write(tmp_path / "MANO_LEFT.pkl")
    with pytest.raises(RequestError, match="is of a left hand"):
        load_hand(str(tmp_path / "MANO_LEFT.pkl"))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"weights": None, "f": None}, "lacks `weights`, `f`"),
    ({"v_template": np.zeros((777, 3))}, "777 vertices"),
    ({"posedirs": np.zeros((778, 3, 134))}, "`posedirs` is float64"),
    ({"weights": np.ones((778, 16))}, "rows of `weights`"),
    ({"f": np.full((1538, 3), 778, np.uint32)}, "`faces` names vertices"),
    ({"f": np.zeros((1538, 3))}, "`faces` is float64"),
    ({"kintree_table": np.zeros((2, 16), np.int64)}, "joints hang together otherwise"),
    ({"shapedirs": np.full((778, 3, 10), np.nan)}, "not finite"),
    ({"J_regressor": {"data": 1}}, r"is no (MANO file|hand model)"),
    ({"weights": np.full((778, 16), None)}, "`weights` is object"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_wrong_arrays_are_told(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path / "MANO_RIGHT.pkl", changes)
    with pytest.raises(RequestError, match=message):
        read_mano(tmp_path / "MANO_RIGHT.pkl")


def test_other_sources_of_a_hand(tmp_path: Path) -> None:
    model = synthetic_hand()
    np.savez(tmp_path / "mine.npz", **arrays_of(model))  # type: ignore[arg-type]
    again = load_hand(str(tmp_path / "mine.npz"))
    assert load_hand("edgekd:hand") is model
    for name, array in arrays_of(model).items():
        np.testing.assert_array_equal(arrays_of(again)[name], array)
    np.savez(tmp_path / "half.npz", template=model.template)
    with pytest.raises(RequestError, match="lacks `name`"):
        load_hand(str(tmp_path / "half.npz"))
    with pytest.raises(MissingError, match="does not exist"):
        load_hand(str(tmp_path / "absent.pkl"))
    with pytest.raises(MissingError, match="does not exist"):
        read_mano(tmp_path / "absent.pkl")
