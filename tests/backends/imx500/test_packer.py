"""`packerOut.zip`: whole, or refused before anything of it is unfolded without bound."""

import io
import struct
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from edgekd.backends.imx500.packer import MOST_BYTES, check_packer, converter_version
from edgekd.errors import RequestError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backends.imx500.files import MEMBERS, packed, xml

WHOLE = packed(xml())


def written(folder: Path, data: bytes) -> Path:
    path = folder / "packerOut.zip"
    path.write_bytes(data)
    return path


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as file:
        warnings.simplefilter("ignore")
        for name, data in members:
            file.writestr(name, data)
    return buffer.getvalue()


def test_a_whole_one_gives_its_small_members(tmp_path):
    found = check_packer(written(tmp_path, WHOLE))
    assert found["dnnParams.xml"].decode() == xml()
    assert converter_version(found["manifest.json"]) == "3.14.15"
    assert list(tmp_path.iterdir()) == [tmp_path / "packerOut.zip"]


ALL = [(name, b"x") for name in MEMBERS]


def test_a_newer_converter_may_add_to_them(tmp_path):
    assert {*check_packer(written(tmp_path, archive(*ALL, ("more.bin", b"x"))))} == {"dnnParams.xml", "manifest.json"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is damaged"),
        (WHOLE[:-30], "is damaged"),
        (archive(*ALL[1:]), "lacks `sdpsA.bin`"),
        (archive(*ALL, ALL[0]), "holds a member twice"),
        (archive(*ALL, ("../../escaped", b"x")), r"holds `../../escaped`, which is no plain name"),
        (archive(*ALL, ("/etc/escaped", b"x")), r"holds `/etc/escaped`"),
        (archive(*ALL, ("..\\escaped", b"x")), "which is no plain name"),
        (archive(*ALL, ("..", b"x")), r"holds `..`"),
        (archive(*ALL, method=zipfile.ZIP_LZMA), "compressed in another way"),
        (archive(*ALL[1:], ("sdpsA.bin", bytes(MOST_BYTES + 1))), "would unfold to"),
        (archive(*ALL[:-1], ("manifest.json", bytes(2**21))), "`manifest.json` has 2,097,152 bytes"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, data, message):
    with pytest.raises(RequestError, match=message):
        check_packer(written(tmp_path, data))
    assert list(tmp_path.iterdir()) == [tmp_path / "packerOut.zip"]


def test_a_bomb_that_lies_about_its_size_unfolds_no_further(tmp_path):
    """Its listing says 10 bytes, its stream holds 32 MiB."""
    data = bytearray(archive(*ALL[1:], ("sdpsA.bin", bytes(32 * 2**20))))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.rfind(signature, 0, data.rfind(b"sdpsA.bin") if signature == b"PK\x01\x02" else data.find(b"sdpsA"))
        struct.pack_into("<I", data, at + offset, 10)
    with pytest.raises(RequestError, match="is damaged"):
        check_packer(written(tmp_path, bytes(data)))


def test_one_bit_is_noticed(tmp_path):
    data = bytearray(archive(*ALL, method=zipfile.ZIP_STORED))
    data[data.find(b"sdpsA.bin") + 9] ^= 1
    with pytest.raises(RequestError, match="is damaged"):
        check_packer(written(tmp_path, bytes(data)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(WHOLE) - 1), junk=st.binary(min_size=1, max_size=8))
def test_no_damage_ends_in_anything_but_a_request_error(tmp_path, at, junk):
    with suppress(RequestError):
        check_packer(written(tmp_path, WHOLE[:at] + junk + WHOLE[at + len(junk) :]))


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"dnnModelVersion": "abc"}', b'{"dnnModelVersion": 3}'])
def test_a_version_that_is_not_told_is_empty(manifest):
    assert converter_version(manifest) == ""
