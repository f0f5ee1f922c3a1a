#!/usr/bin/env bash
# All that a CUDA GPU is needed for, in 10 minutes: gpu.sh DATA (a folder with glue/cola, glue/rte and imdb) prints what
# docs/results/gpu.md shows, and writes it to OUT (outputs/gpu.md) as it goes, so that a run that is cut off leaves what
# it has. gpu.sh --rehearse runs all of it on a CPU, with tiny sizes.
set -uo pipefail
mkdir -p "$(dirname "${OUT:=outputs/gpu.md}")"
out="$(realpath "$OUT")"
: > "$out"
if [ "${1:-}" != --rehearse ]; then data="$(realpath "$1")"; fi
cd "$(dirname "$0")/.."

step() { # SECONDS TITLE COMMAND …: what it printed goes to the file, whatever became of it
  local seconds="$1" title="$2"
  shift 2
  printf '\n## %s\n\n' "$title" | tee -a "$out"
  timeout "$seconds" "$@" 2>&1 | tee -a "$out"
  local status=${PIPESTATUS[0]}
  if [ "$status" -ne 0 ]; then printf '\nended with %s\n' "$status" | tee -a "$out"; failed=1; fi
}

failed=0
if [ "${1:-}" = --rehearse ]; then
  step 600 "Launches" python benchmarks/launches.py
  step 600 "Tests" python -m pytest -q -m gpu
  step 600 "Times" python benchmarks/gpu.py --rehearse
  step 600 "Training" python benchmarks/training_speed.py --rehearse --batch-size 4
else
  step 60 "Launches" python benchmarks/launches.py
  step 150 "Tests" python -m pytest -q -m gpu
  step 300 "Times" python benchmarks/gpu.py "$data" --seconds 240
  step 30 "Significance" python benchmarks/significance_gpu.py
  step 60 "Training" python benchmarks/training_speed.py --batch-size 32 --precision bf16
fi
exit "$failed"
