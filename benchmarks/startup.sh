#!/usr/bin/env bash
# Start-up: the best of five of each command, in seconds.
set -euo pipefail
for command in "powerbert --help" "powerbert search --help" "powerbert finetune --cfg job" "powerbert sweep --cfg job"; do
  best=$(for _ in 1 2 3 4 5; do /usr/bin/env bash -c "TIMEFORMAT=%R; time $command > /dev/null" 2>&1; done | sort -n | head -1)
  echo "| $command | $best |"
done
