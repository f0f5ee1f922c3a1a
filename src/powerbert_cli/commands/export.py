"""powerbert export: the shortened model as an ONNX file."""

from typing import Any

from ..pipeline.chain import shortened_model
from ..report.console import console
from ..report.tables import say_retention, say_run_dir
from ..settings import ExportSettings
from ..store.artifacts import write_json
from ..store.onnx_file import compare_onnx, export_onnx, quantize_onnx
from .prepare import begin


def run(cfg: Any) -> float:
    """Returns the largest difference of a logit between PyTorch and the ONNX file."""
    work, run_dir = begin(cfg, ExportSettings)
    model, retention = shortened_model(work)
    say_retention(retention)
    retention.write(run_dir / "retention.json")
    path = run_dir / "model.onnx"
    export_onnx(model, path)
    files = [path]
    if work.settings.export.int8:
        files.append(quantize_onnx(path, run_dir / "model.int8.onnx"))
    found = {file.name: compare_onnx(file, model, exact=file is path) for file in files}
    write_json(run_dir / "export.json", {"largest_logit_difference": found, "seq_len": model.seq_len})
    for name, difference in found.items():
        size = (run_dir / name).stat().st_size / 1e6
        console.print(f"{name}: {size:.1f} MB, logits differ from PyTorch's by at most {difference:.2g}")
    say_run_dir(run_dir)
    return found[path.name]
