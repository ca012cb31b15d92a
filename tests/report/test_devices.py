"""The table of devices."""

from edgekd.evidence import Figure
from edgekd.report.devices import devices, rows

BOARD, URL = "NVIDIA Jetson Orin Nano, 6 CPUs, Linux aarch64", "ssh://me@orin"


def figure(name, value, host, **more):
    common = {"subject": "net", "unit": "", "kind": "measured", "method": "", "tool": "", "device": URL, "when": ""}
    return Figure(**{**common, "name": name, "value": value, "host": host, **more})


def test_a_later_answer_does_not_rename_the_machine_that_was_timed():
    [found] = devices([figure("latency", 2, f"{BOARD}, MAXN"), figure("psnr", 30, "aarch64, 6 CPUs, Linux aarch64")])
    assert found.host == f"{BOARD}, MAXN"


def test_two_power_modes_are_both_named():
    [found] = devices([figure("latency", 2, f"{BOARD}, MAXN"), figure("latency", 3, f"{BOARD}, 15W", subject="other")])
    assert found.host == f"{BOARD}, MAXN; {BOARD}, 15W"


def test_a_score_tells_of_how_many_samples_it_is():
    found = devices([figure("psnr", 30, BOARD, n=3)])
    assert rows(found, {}, "psnr", " dB") == [{"title": "psnr of net", "cells": ["30.000 dB, n = 3"]}]
