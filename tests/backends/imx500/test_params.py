"""`dnnParams.xml` and the memory report: read, held against the network, refused."""

from contextlib import suppress

import pytest
from edgekd.backends.imx500.memory_report import parse_report, size
from edgekd.backends.imx500.params import compare, parse_params
from edgekd.backends.imx500.tensors import inputs_of, outputs_of
from edgekd.errors import RequestError
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.imx500.files import dialect, report, xml

MEMORY = {"total": 8388480, "reserved": 1024, "runtime": 1012736, "coefficients": 707744}


def problems(text: str, **network: object) -> list[str]:
    model = dialect(**network)
    return [str(p) for p in compare(parse_params(text.encode()), inputs_of(model), outputs_of(model))]


def test_it_is_read():
    found = parse_params(xml().encode())
    assert [(t.name, t.scale, t.signed, t.bits, t.dims) for t in found.inputs] == [
        ("inputTensor:0", 1 / 128, True, 8, (3, 6, 10))
    ]
    assert found.outputs[0].dims == (1, 6, 10)
    assert found.memory == MEMORY


def test_what_is_no_size_is_passed_over():
    assert parse_params(xml().replace("totalSize", 'kind="L2" totalSize').encode()).memory == MEMORY


def test_other_spellings_are_read_too():
    """Keys as elements, other cases, a prefix, `output_tensor`."""
    text = """<d:DNN xmlns:d="urn:x"><d:Inputs><d:Tensor><d:Name>a</d:Name><d:Scale>0.0078125</d:Scale>
    <d:Format>SIGNED</d:Format><d:Dims><d:Dim size="3" ordinal="0"/><d:Dim size="6" ordinal="1"/>
    <d:Dim size="10" ordinal="2"/></d:Dims></d:Tensor></d:Inputs><d:output_tensor bits_per_element="8" scale="0.03125"
    format="Signed"><d:dim size="1"/><d:dim size="6"/><d:dim size="10"/></d:output_tensor></d:DNN>"""
    assert problems(text) == []


def test_the_networks_own_are_equal():
    assert problems(xml()) == []
    assert problems(xml(scale=1 / 256, form="unsigned"), signed=False) == []


def test_the_nearest_name_tells_inputs_from_outputs():
    inside = xml().replace("<networks>", "<inputsAndOutputs>").replace("</networks>", "</inputsAndOutputs>")
    assert problems(inside.replace('<network name="network" ordinal="0" type="">', "").replace("</network>", "")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (xml(scale=1 / 32), "input: the converter has the scale 0.03125, the graph 0.0078125"),
        (xml(out_scale=2 / 128), "output: the converter has the scale 0.015625, the graph 0.03125"),
        (xml(form="unsigned"), "input: the converter's codes are unsigned, the graph's signed"),
        (xml(size=(6, 11)), "the converter has the sizes [3, 6, 11], the graph [3, 6, 10]"),
        (xml().replace('bitsPerElement="8"', 'bitsPerElement="16"', 1), "input: the converter's codes have 16 bits"),
        (xml().replace('shift="0"', 'shift="3"', 1), "input: the converter shifts its codes by 3"),
        ('padding="4"'.join(xml().rsplit('padding="0"', 1)), "output: is padded on the chip"),
        (xml().replace("inputTensor", "inputTensors").replace("outputTensor", "inputTensor"), "0 outputs"),
    ],
)
def test_what_differs_is_told(text, message):
    try:
        told = problems(text)
    except RequestError as error:
        told = [error.message]
    assert message in " ".join(told)


BOMB = '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><d>&b;</d>'
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE d SYSTEM "file:///etc/passwd"><d/>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
def test_entities_are_not_read(text, encoding):
    with pytest.raises(RequestError, match="declares a document type"):
        parse_params(text.encode(encoding))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no XML"),
        (b"<a>", "is no XML"),
        (b"<a/>", "0 inputs and 0 outputs"),
        (b" " * (2**20 + 1), "larger than 1 MiB"),
        (xml().replace("signed", "complex", 1).encode(), "the format `complex`"),
        (xml(scale=float("nan")).replace("nan", "small").encode(), "is not understood"),
        (b"<a>" * 50000 + b"</a>" * 50000, "0 inputs"),
    ],
)
def test_what_is_no_such_file_is_refused(data, message):
    with pytest.raises(RequestError, match=message):
        parse_params(data)


@given(st.integers(0, 1500), st.binary(max_size=5))
def test_no_damage_ends_in_anything_but_a_request_error(at, junk):
    data = xml().encode()
    with suppress(RequestError):
        parse_params(data[:at] + junk + data[at + len(junk) :])


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("989.00KB", 1012736), ("7,06MB", 7.06 * 2**20), ("0B", 0), ("8.00MB", 8388608), ("1KB", 1024)],
)
def test_sizes_are_binary_with_a_point_or_a_comma(text, bytes_):
    assert size(text) == pytest.approx(bytes_)


def test_the_report_is_read():
    found = parse_report(report().encode())
    assert (found.runtime, found.fits, found.persistent) == (1012736, True, False)
    assert not parse_report(report(fits=False).encode()).fits
    assert not parse_report(report().replace("true", '"yes"').encode()).fits


@given(st.binary(max_size=30) | st.recursive(st.integers(), st.lists).map(lambda x: str(x).encode()))
def test_another_report_is_refused(data):
    with pytest.raises(RequestError, match="memory report"):
        parse_report(data)
