"""Graph files side by side: python benchmarks/graphs.py THREADS BATCH LENGTH FILE …

FILE is .onnx, which runs in ONNX Runtime and in OpenVINO, or OpenVINO's .xml, as `powerbert export` writes them. The
inputs are generated, BATCH of LENGTH word-pieces and a bit less. All take turns in one process; then OpenVINO's
counters say how long each kind of operator takes.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import openvino


def inputs(batch: int, length: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    lengths = np.sort(generator.integers(int(0.85 * length), length + 1, batch))
    mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    ids = generator.integers(1000, 20000, (batch, length)) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def main() -> None:
    threads, batch, length = map(int, sys.argv[1:4])
    given, core = inputs(batch, length), openvino.Core()
    runs: dict[str, Callable[[], Any]] = {}
    counted = {}
    for file in sys.argv[4:]:
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if file.endswith(".onnx"):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            names = [one.name for one in session.get_inputs()]
            runs[f"{file} ONNX Runtime"] = lambda s=session, names=names: s.run(None, {n: given[n] for n in names})
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        model = core.compile_model(file, "CPU", settings)
        own = {name: given[name] for name in (one.any_name for one in model.inputs)}
        runs[f"{file} OpenVINO"] = lambda m=model, own=own: m(own)
        counted[file] = core.compile_model(file, "CPU", {**settings, "PERF_COUNT": True}).create_infer_request(), own
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(9):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1000 * (time.perf_counter() - start))
    for name, each in times.items():
        print(f"{median(each[1:]):9.1f} ms  {name}")
    for file, (request, own) in counted.items():
        for _ in range(3):
            request.infer(own)
        kinds: Counter[str] = Counter()
        for one in request.get_profiling_info():
            kinds[f"{one.node_type} {one.exec_type}"] += one.real_time.total_seconds() * 1000
        print(f"{file}, by operator, ms: " + ", ".join(f"{kind} {ms:.1f}" for kind, ms in kinds.most_common(8)))


if __name__ == "__main__":
    main()
