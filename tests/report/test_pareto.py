from edgekd.report.charts import Mark, scatter
from edgekd.report.pareto import front
from hypothesis import given
from hypothesis import strategies as st

POINTS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12)


@given(points=POINTS)
def test_the_front_by_definition(points):
    """Every pair compared: no worse in both and better in one."""
    beaten = {b for a in points for b in points if a != b and a[0] <= b[0] and a[1] >= b[1]}
    assert front(points) == sorted({*points} - beaten)


def test_a_scatter_names_its_points_and_takes_the_pages_colour():
    marks = [
        Mark(1.0, 20.0, "a run", "FP32", (19.0, 21.0)),
        Mark(9.0, 30.0, "another run", "int8", None, (8.5, 9.5)),
        Mark(9.0, 30.0, "another run", "int8"),
    ]
    svg = scatter(marks, front([(m.x, m.y) for m in marks]), "latency, ms", "PSNR, dB")
    assert svg.count(">int8<") == 1
    for text in ("a run", "another run", "FP32", "latency, ms", "PSNR, dB", "best for their cost"):
        assert f">{text}<" in svg
    assert "currentColor" in svg
    assert svg == scatter(marks, front([(m.x, m.y) for m in marks]), "latency, ms", "PSNR, dB")
