"""Pickles, honest, hostile and damaged."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.students.fast_hamer.unpickle import unpickled
from hypothesis import given, settings
from hypothesis import strategies as st

PROTOCOLS = range(6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_come_back(protocol):
    rng = np.random.default_rng(0)
    held = {
        "float": rng.normal(size=(3, 4)), "small": rng.normal(size=7).astype(np.float32),
        "columns": np.asfortranarray(rng.normal(size=(3, 4))), "whole": np.arange(5, dtype=np.uint32),
        "big": np.arange(4, dtype=">i2"), "flag": np.array(True), "words": np.array(["a", "bcd"]),
        "none": None, "one": np.float64(0.1), "list": [1, 2.5, "b", b"\x80"], "things": np.array({"a": 1}),
        "empty": np.zeros((0, 3)),
    }  # fmt: skip
    found = unpickled(pickle.dumps(held, protocol), "it")
    assert found.keys() == held.keys()
    for name in ("float", "small", "columns", "whole", "big", "flag", "words", "empty"):
        assert (found[name] == held[name]).all()
        assert found[name].shape == held[name].shape
        assert found[name].dtype.str[1:] == held[name].dtype.str[1:]
    assert [found[name] for name in ("none", "one", "list")] == [held[name] for name in ("none", "one", "list")]
    assert found["things"].item() == {"a": 1}


def test_arrays_of_python_2_come_back():
    """As Python 2 writes them, protocol 2: bytes are its words, and numpy's rooms have their old names."""
    data = (
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x02\x07\xfetbs."
    )
    assert unpickled(data, "it")["a"].tolist() == [7, 254]


class Runs:
    def __init__(self, call, *args):
        self.call = call, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_would_run_a_program_does_not(protocol, tmp_path):
    mark = tmp_path / "mark"
    for call in (os.system, eval, os.mkdir):
        said = (
            f"touch {mark}" if call is os.system else f"__import__('os').mkdir({str(mark)!r})" if call is eval else mark
        )
        with pytest.raises(RequestError, match=r"names `\w+\.\w+`, which data do not need"):
            unpickled(pickle.dumps({"a": [Runs(call, str(said))]}, protocol), "it")
    assert not mark.exists()


@pytest.mark.parametrize("name", [b"numpy\nfromfile", b"numpy\nload", b"builtins\ngetattr", b"numpy\ndtype.mro"])
def test_a_name_beside_those_of_arrays_is_refused(name):
    with pytest.raises(RequestError, match="which data do not need"):
        unpickled(b"c" + name + b"\n.", "it")


def test_an_array_that_lies_about_its_size_is_damaged():
    data = pickle.dumps(np.arange(4, dtype=np.float64), 2)
    assert b"K\x04\x85" in data
    for shape in (b"K\x05\x85", b"K\xff\x85"):
        with pytest.raises(RequestError, match="has other data"):
            unpickled(data.replace(b"K\x04\x85", shape), "it")


@pytest.mark.parametrize("kind", ["V8", "M8", "f8,f8", "O9", "x"])
def test_an_array_of_other_things_is_refused(kind):
    data = pickle.dumps(np.zeros(2), 2)
    assert b"X\x02\x00\x00\x00f8" in data
    word = b"X" + len(kind).to_bytes(4, "little") + kind.encode()
    with pytest.raises(RequestError, match="arrays of"):
        unpickled(data.replace(b"X\x02\x00\x00\x00f8", word), "it")


@given(st.integers(0, 10**6), st.integers(0, 5), st.binary(max_size=3))
@settings(deadline=None)
def test_damage_raises_nothing_else(cut, protocol, other):
    data = pickle.dumps({"a": np.arange(9.0), "b": [1, "c", np.float32(2)]}, protocol)
    at = cut % len(data)
    for damaged in (data[:at], data[:at] + other + data[at + len(other) :], other + data[at:]):
        with suppress(RequestError):
            unpickled(damaged, "it")


def test_what_is_mano_s_is_not_known_here():
    with pytest.raises(RequestError, match=r"names `chumpy\.ch\.Ch`"):
        unpickled(b"\x80\x02cchumpy.ch\nCh\n)\x81}U\x01xK\x07sb.", "it")
