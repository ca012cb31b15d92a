"""Videos through the real ffmpeg."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from edgekd.apply import ffmpeg
from edgekd.apply.moving import Movie
from edgekd.apply.run import _movie, apply
from edgekd.errors import MissingError, RequestError

from tests.apply.test_run import NEGATIVE

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def make(path, *options, size="51x34", seconds=1):
    """A grey that grows lighter by a step a picture, 10 a second, with a tone."""
    video = f"color=gray:s={size}:r=10:d={seconds},format=yuv444p,geq=lum='40+10*N':cb=128:cr=128"
    inputs = ["-f", "lavfi", "-i", video, "-f", "lavfi", "-i", f"sine=d={seconds}"]
    subprocess.run(["ffmpeg", "-loglevel", "error", *inputs, *options, str(path)], check=True)
    return path


def luminances(path):
    return [picture.mean() for picture in ffmpeg.frames(path, Fraction(10))]


@needs_ffmpeg
def test_a_video_is_answered_picture_by_picture(tmp_path):
    path = make(tmp_path / "a.mp4", "-pix_fmt", "yuv444p")
    before = luminances(path)
    assert len(before) == 10
    assert np.diff(before).min() > 5
    (outcome,) = apply(NEGATIVE, [path], None)
    assert (outcome.wrote, outcome.frames) == (tmp_path / "a-out.mp4", 10)
    (first, *_) = pictures = list(ffmpeg.frames(outcome.wrote, Fraction(10)))
    assert first.shape == (34, 52, 3)  # codecs want even sides
    np.testing.assert_allclose([p[:, :50].mean() for p in pictures], [255 - value for value in before], atol=3)
    assert ffmpeg.probe(outcome.wrote) == (Fraction(10), 10)
    streams = ["ffprobe", "-loglevel", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0"]
    found = subprocess.run([*streams, outcome.wrote], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["video", "audio"]


@needs_ffmpeg
def test_a_phones_video_is_read_the_way_up_it_was_held(tmp_path):
    flat = make(tmp_path / "flat.mp4", "-pix_fmt", "yuv444p")
    held = tmp_path / "held.mp4"
    turn = ["-c", "copy", "-metadata:s:v", "rotate=90"]
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", flat, *turn, held], check=True)
    shapes = {picture.shape for picture in ffmpeg.frames(held, Fraction(10), limit=2)}
    if shapes == {(34, 51, 3)}:
        pytest.skip("this ffmpeg writes no rotation that way")
    assert shapes == {(51, 34, 3)}


@needs_ffmpeg
def test_only_some_pictures(tmp_path):
    (outcome,) = apply(NEGATIVE, [make(tmp_path / "a.mkv")], tmp_path / "b.mp4", limit=3)
    assert outcome.frames == 3
    assert len(luminances(outcome.wrote)) == 3


@needs_ffmpeg
def test_a_reader_that_stops_ends_the_program(tmp_path):
    reading = ffmpeg.frames(make(tmp_path / "long.mp4", seconds=30), Fraction(10))
    next(reading)
    reading.close()
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path / "long.mp4") not in left


@needs_ffmpeg
def test_what_ffmpeg_cannot_do_is_told_and_leaves_nothing(tmp_path):
    path = make(tmp_path / "a.mp4")
    with pytest.raises(RequestError, match="ffmpeg fails at"):
        list(apply(NEGATIVE, [path], tmp_path / "out.unknown"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RequestError, match="cannot be read"):
        list(apply(NEGATIVE, [path], None))


@needs_ffmpeg
def test_a_file_may_not_name_the_network(tmp_path):
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(RequestError, match="cannot be read"):
        list(apply(NEGATIVE, [tmp_path / "a.m3u8"], None))


def test_without_ffmpeg_the_hint_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="videos need `ffprobe`") as error:
        list(apply(NEGATIVE, [tmp_path / "a.mp4"], None))
    assert "apt install ffmpeg" in error.value.hint


@needs_ffmpeg
def test_ctrl_c_ends_a_camera_and_keeps_its_movie(tmp_path):
    """Pictures come until somebody has seen enough."""

    def pictures():
        for i in range(5):
            yield np.full((34, 52, 3), 40 * i, np.uint8)
        raise KeyboardInterrupt

    def movie(path):
        return Movie(Path(path), 0, pictures, lambda out, first: ffmpeg.writer(out, first.shape, Fraction(10), None))

    outcome = _movie(NEGATIVE, movie("/dev/video0"), tmp_path / "camera.mp4", lambda *args: None)
    assert outcome.frames == 5
    np.testing.assert_allclose(luminances(tmp_path / "camera.mp4"), 255 - 40 * np.arange(5), atol=3)
    with pytest.raises(KeyboardInterrupt):
        _movie(NEGATIVE, movie("film.mp4"), tmp_path / "film-out.mp4", lambda *args: None)
    assert [p.name for p in tmp_path.iterdir()] == ["camera.mp4"]


def test_a_camera_is_read_by_its_driver():
    assert ffmpeg.source(Path("/dev/video2")) == ["-f", "v4l2", "-i", "/dev/video2"]
    assert ffmpeg.is_camera(Path("/dev/video2"))
    assert not ffmpeg.is_camera(Path("video.mp4"))
