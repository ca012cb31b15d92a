#!/bin/sh
# Packages the converter's output for the sensor. On a Raspberry Pi: sudo apt install imx500-tools; sh package.sh
set -eu
cd "$(dirname "$0")"
imx500-package @PACKAGE@
cp packaged/network.rpk network.rpk
