#!/usr/bin/env bash
# All that a CUDA GPU is needed for, in about 10 minutes. gpu.sh DATA prints what docs/results/gpu.md shows, and writes it
# to OUT (outputs/gpu.md) as it goes, so that a run that is cut off leaves what it has. DATA has the folders glue/cola,
# glue/rte and imdb, each as task.data_dir takes it (train.* and dev.*). It calls the python that has powerbert installed. gpu.sh --rehearse runs its programs on a CPU, with tiny sizes, and writes to outputs/gpu-rehearsal.md; the tests
# that need a GPU are skipped there.
set -uo pipefail
if [ $# -ne 1 ] || { [ "$1" != --rehearse ] && [ "${1#-}" != "$1" ]; }; then
  echo "give DATA, a folder with glue/cola, glue/rte and imdb, or --rehearse" >&2
  exit 2
fi
given="$1"
if [ "$given" = --rehearse ]; then
  : "${OUT:=outputs/gpu-rehearsal.md}"
else
  : "${OUT:=outputs/gpu.md}"
  for folder in glue/cola glue/rte imdb; do
    if [ ! -d "$given/$folder" ]; then echo "$given/$folder is no folder" >&2; exit 2; fi
  done
  data="$(realpath "$given")"
fi
mkdir -p "$(dirname "$OUT")"
out="$(realpath "$OUT")"
: > "$out"
cd "$(dirname "$0")/.."
export TEARDOWN_CUPTI=0 # else CUDA graphs do not survive a profile

step() { # SECONDS TITLE COMMAND …: what it printed goes to the file, whatever became of it
  local seconds="$1" title="$2"
  shift 2
  printf '\n## %s\n\n' "$title" | tee -a "$out"
  timeout "$seconds" "$@" 2>&1 | tee -a "$out"
  local status=${PIPESTATUS[0]}
  if [ "$status" -ne 0 ]; then printf '\nended with %s\n' "$status" | tee -a "$out"; failed=1; fi
}

failed=0
if [ "$given" = --rehearse ]; then
  step 600 "Launches" python benchmarks/launches.py
  step 600 "Tests" python -m pytest -q -m gpu
  step 600 "Times" python benchmarks/gpu.py --rehearse
  step 600 "Training" python benchmarks/training_speed.py --rehearse --batch-size 4
else
  step 60 "Launches" python benchmarks/launches.py
  step 20 "Device" python -c 'import torch; print(torch.cuda.get_device_name(), torch.__version__)'
  step 150 "Tests" python -m pytest -q -m gpu
  step 300 "Times" python benchmarks/gpu.py "$data" --seconds 240
  step 30 "Significance" python benchmarks/significance_gpu.py
  step 60 "Training" python benchmarks/training_speed.py --batch-size 32 --precision bf16
fi
exit "$failed"
