#!/bin/sh
# Checks the engine's answers, then times both engines. Usage: sh measure.sh
set -eu
cd "$(dirname "$0")"
T=${TRTEXEC:-/usr/src/tensorrt/bin/trtexec}

"$T" --loadEngine=int8.plan --loadInputs=@INPUTS@ --exportOutput=int8-output.json \
    --iterations=1 --warmUp=0 --duration=0
python3 check.py int8-output.json

for name in int8 float; do
    "$T" --loadEngine=$name.plan --useCudaGraph --useSpinWait --noDataTransfers --warmUp=1000 --duration=10 \
        --iterations=200 --avgRuns=100 --percentile=50,90,95,99 --exportTimes=$name-times.json
    "$T" --loadEngine=$name.plan --dumpProfile --separateProfileRun --exportProfile=$name-profile.json --iterations=50
done
