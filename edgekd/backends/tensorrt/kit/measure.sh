#!/bin/sh
# Checks the quantized engines' answers, then times every engine. Usage: sh measure.sh
set -eu
cd "$(dirname "$0")"
. ./trtexec.sh

for name in @QUANTIZED@; do
    @RUN@
    python3 check.py "$name-output.json"
done

for name in @NAMES@; do
    @TIME@
    @PROFILE@
done
