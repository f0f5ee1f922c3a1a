"""Graph files side by side: python benchmarks/graphs.py THREADS BATCH LENGTH FILE …

FILE is .onnx, which runs in ONNX Runtime and in OpenVINO, or OpenVINO's .xml, as `powerbert export` writes them. The
inputs are generated, BATCH of LENGTH word-pieces and a bit less. All take turns in one process, each with three
lengths; each length is answered twice: at first the engine has to prepare for the new shape. Then OpenVINO's counters
say how long each kind of operator takes.
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
    batches = [inputs(batch, round(share * length)) for share in (0.8, 0.9, 1.0)]
    core = openvino.Core()
    runs: dict[str, Callable[[dict[str, np.ndarray]], Any]] = {}
    counted = {}
    for file in sys.argv[4:]:
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if file.endswith(".onnx"):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            names = [one.name for one in session.get_inputs()]
            runs[f"{file} ONNX Runtime"] = lambda b, s=session, names=names: s.run(None, {n: b[n] for n in names})
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        model = core.compile_model(file, "CPU", settings)
        names = [one.any_name for one in model.inputs]
        runs[f"{file} OpenVINO"] = lambda b, m=model, names=names: m({n: b[n] for n in names})
        own = {name: batches[-1][name] for name in names}
        counted[file] = core.compile_model(file, "CPU", {**settings, "PERF_COUNT": True}).create_infer_request(), own
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(10):
        for name, run in runs.items():
            for one in batches:
                clock = [time.perf_counter()]
                for _ in range(2):
                    run(one)
                    clock.append(time.perf_counter())
                if turn:
                    times[name].append((1000 * (clock[1] - clock[0]), 1000 * (clock[2] - clock[1])))
    for name, each in times.items():
        new, same = (median(column) for column in zip(*each, strict=True))
        print(f"{new:9.1f} ms at a new shape, {same:9.1f} at the same  {name}")
    for file, (request, own) in counted.items():
        for _ in range(3):
            request.infer(own)
        kinds: Counter[str] = Counter()
        for one in request.get_profiling_info():
            kinds[f"{one.node_type} {one.exec_type}"] += one.real_time.total_seconds() * 1000
        print(f"{file}, by operator, ms: " + ", ".join(f"{kind} {ms:.1f}" for kind, ms in kinds.most_common(8)))


if __name__ == "__main__":
    main()
