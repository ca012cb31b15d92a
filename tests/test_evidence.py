"""The ledger only grows; a bundle knows its files."""

import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.evidence import Bundle, Figure, Ledger

FIGURE = Figure(
    name="psnr", subject="a", value=1.0, unit="dB", kind="measured", method="m", tool="t", host="h", when="w"
)


def test_the_ledger_appends_and_never_repeats(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.add([FIGURE])
    first = ledger.path.read_text()
    ledger.add([FIGURE, FIGURE.model_copy(update={"value": 2.0})])
    assert ledger.path.read_text().startswith(first)
    assert [f.value for f in ledger.read()] == [1.0, 2.0]


def test_a_line_torn_by_a_kill_is_passed_over(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.add([FIGURE])
    with ledger.path.open("a") as file:
        file.write('{"name": "ps')
    ledger.add([FIGURE.model_copy(update={"value": 3.0})])
    assert [f.value for f in ledger.read()] == [1.0, 3.0]
    with ledger.path.open("a") as file:
        file.write('{"name": 1}\n')
    with pytest.raises(RequestError, match="damaged"):
        ledger.read()


def test_no_bundle_and_a_damaged_one(tmp_path):
    with pytest.raises(MissingError, match="no bundle"):
        Bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RequestError, match="damaged"):
        Bundle(tmp_path)
