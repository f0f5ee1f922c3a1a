"""Answers texts over HTTP with a directory that `powerbert export` wrote (native, onnx, openvino), served by Mosec.

MODEL=EXPORTED python server.py --port 8000      # all of Mosec's own options: python server.py --help
                                                 # it answers this machine alone; --address 0.0.0.0 opens it to others
curl localhost:8000/inference -d '{"text": "An apple is a fruit."}'
curl localhost:8000/inference -d '{"text": "A man sleeps.", "text_pair": "A man is awake."}'
curl localhost:8000/rerank -d '{"query": "fruit", "documents": ["A car.", "An apple."]}'  # of a model with one output

Requests that wait are answered together, in batches of up to BATCH (16) texts. THREADS (1) are those of each of
WORKERS (1).
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from mosec import Server, Worker
from mosec.errors import ValidationError

BATCH = int(os.environ.get("BATCH", "16"))
os.environ.setdefault("MOSEC_ADDRESS", "127.0.0.1")  # for this machine alone; --address 0.0.0.0 opens it to others

Asked = tuple[bool, list[tuple[str, str | None]]]  # whether they are ranked, and pairs of texts


class Reader(Worker):
    """Reads requests one by one, so that a wrong one is answered to its sender alone, with status 422."""

    def deserialize(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise ValidationError(f"no JSON: {error}") from error

    def forward(self, data: Any) -> Asked:
        request = data if isinstance(data, dict) else {}
        text, pair = request.get("text"), request.get("text_pair")
        if not isinstance(text, str) or not isinstance(pair, str | None):
            raise ValidationError('give {"text": "…"}, or {"text": "…", "text_pair": "…"} for a task of two texts')
        return False, [(text, pair)]


class QueryReader(Reader):
    """Reads what is asked of /rerank."""

    def forward(self, data: Any) -> Asked:
        request = data if isinstance(data, dict) else {}
        query, documents = request.get("query"), request.get("documents")
        good = isinstance(documents, list) and documents and all(isinstance(one, str) for one in documents)
        if not isinstance(query, str) or not good:
            raise ValidationError('give {"query": "…", "documents": ["…", …]} with at least one document')
        return True, [(query, document) for document in documents]


class Classifier(Worker):
    """Answers what waits in one batch."""

    def __init__(self) -> None:
        folder, threads = Path(os.environ["MODEL"]), int(os.environ.get("THREADS", "1"))
        about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        self.labels, self.seq_len = about["labels"], about["seq_len"]
        self.multi_label = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("problem_type") == (
            "multi_label_classification"
        )
        self.inputs = self.read_with(folder)
        open_model = {"native": self._native, "onnx": self._onnx, "openvino": self._openvino}[about["engine"]]
        open_model(str(folder / about["file"]), threads, about["precision"])

    def read_with(self, folder: Path) -> list[str]:
        """Opens what makes inputs of requests, and says their names."""
        from transformers import AutoTokenizer  # here alone: the other processes start without it

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        return list(self.tokenizer.model_input_names)

    def _native(self, file: str, threads: int, precision: str) -> None:
        import torch

        from powerbert_cli import load_shortened

        torch.set_num_threads(threads)
        model = load_shortened(Path(file).parent, engine="native")
        self.logits = lambda batch: model(**{name: torch.from_numpy(value) for name, value in batch.items()}).logits

    def _onnx(self, graph: str, threads: int, precision: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.inputs = [one.name for one in session.get_inputs()]
        self.logits = lambda batch: session.run(["logits"], batch)[0]

    def _openvino(self, graph: str, threads: int, precision: str) -> None:
        import openvino

        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads}
        if precision != "int8":  # what is not in int8 is in the precision that suits the CPU
            settings["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bf16" else "f32"
        model = openvino.compile_model(graph, "CPU", settings)
        self.inputs = [one.any_name for one in model.inputs]
        self.logits = lambda batch: model(batch)["logits"]

    def forward(self, data: list[Asked]) -> list[dict[str, Any]]:
        pairs = [pair for _, own in data for pair in own]
        order = sorted(range(len(pairs)), key=lambda i: sum(len(text or "") for text in pairs[i]))
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(order), BATCH):
            few = order[start : start + BATCH]
            found |= dict(zip(few, self.rows([pairs[i] for i in few]), strict=True))
        rows = iter([found[i] for i in range(len(pairs))])
        return [self._ranked([next(rows) for _ in own]) if ranks else self.answer(next(rows)) for ranks, own in data]

    def rows(self, few: list[tuple[str, str | None]]) -> np.ndarray:
        texts, pairs = [text for text, _ in few], [pair or "" for _, pair in few]
        both = (texts, pairs) if any(pair is not None for _, pair in few) else (texts,)
        batch = self.tokenizer(*both, padding=True, truncation=True, max_length=self.seq_len, return_tensors="np")
        return np.asarray(self.logits({name: batch[name].astype(np.int64) for name in self.inputs}), np.float64)

    def _ranked(self, rows: list[np.ndarray]) -> dict[str, Any]:
        logits = np.array(rows)[:, 0]
        scores = np.exp(-np.logaddexp(0.0, -logits))
        return {"scores": scores.tolist(), "ranking": np.argsort(-logits, kind="stable").tolist()}

    def answer(self, logits: np.ndarray) -> dict[str, Any]:
        if len(logits) == 1:
            return {"value": float(logits[0])}
        if self.multi_label:
            shares = 1 / (1 + np.exp(-logits))
            named = dict(zip(self.labels, shares.tolist(), strict=True))
            return {"labels": [label for label, share in named.items() if share > 0.5], "probabilities": named}
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        named = dict(zip(self.labels, shares.tolist(), strict=True))
        return {"label": max(named, key=lambda label: named[label]), "probabilities": named}


def serve(server: Server, answers: type[Worker], routes: list[str]) -> None:
    """Adds the workers that answer, and runs until it is stopped."""
    workers = int(os.environ.get("WORKERS", "1"))
    server.append_worker(answers, num=workers, max_batch_size=BATCH, max_wait_time=1, route=routes)
    server.run()


if __name__ == "__main__":
    server = Server()
    labels = json.loads((Path(os.environ["MODEL"]) / "export.json").read_text(encoding="utf-8"))["labels"]
    ranks = ["/rerank"] if len(labels) == 1 else []
    server.append_worker(Reader)
    if ranks:
        server.append_worker(QueryReader, route=ranks)
    serve(server, Classifier, ["/inference", *ranks])
