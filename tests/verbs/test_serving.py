"""The recipe that serves an exported model over HTTP, and the clock beside it."""

import functools
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hosts import described, make_host
from PIL import Image
from small import HEARD, SEEN, TASK, VIT, WAV2VEC2

from powerbert_cli import load_shortened
from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds.ranking import Ranking
from powerbert_cli.kinds.sounds import wav_of
from powerbert_cli.models.model_dir import save_model_dir
from powerbert_cli.store.retention_file import RetentionFile
from powerbert_cli.tasks.synthetic_pictures import generate
from powerbert_cli.tasks.synthetic_sounds import RATE, classes, spoken
from powerbert_cli.tasks.tokenizing import build_tokenizer

pytest.importorskip("mosec")
pytestmark = pytest.mark.extras
ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["a b c", "d e f g h i j k", "l", "a a a a b"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory, shortened):
    """What export made of a shortened model for each engine."""
    folder = tmp_path_factory.mktemp("serving")
    for engine in ("native", "onnx", "openvino"):
        own = [f"model_dir={shortened}", f"engine={engine}", f"hydra.run.dir={folder}/{engine}"]
        assert dispatch(["export", *TASK, *own, f"output_dir={folder}/outputs"]) == 0
    return folder


@pytest.fixture(scope="module")
def serve():
    """Starts a server of a folder, once, and gives a function that asks it."""
    started = []

    @functools.cache
    def start(folder, script="server.py"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, str(ROOT / "examples/serve" / script), "--port", str(port), "--log-level", "error"]
        started.append(subprocess.Popen(command, env={**os.environ, "MODEL": str(folder)}))

        def ask(body, path="/inference"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        for _ in range(300):
            try:
                ask(json.dumps({"text": "ready?"}))
                return ask
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    yield start
    for process in started:  # all at once: each takes seconds to stop
        process.terminate()
    for process in started:
        process.wait()


def listening():
    """(address, port) of all that listens on this machine, in hexadecimal."""
    tables = (Path(f"/proc/net/{name}") for name in ("tcp", "tcp6"))
    lines = [line.split() for table in tables if table.is_file() for line in table.read_text().splitlines()[1:]]
    return {tuple(fields[1].split(":")) for fields in lines if fields[3] == "0A"}


def test_a_bad_request_is_answered_to_its_sender_alone_and_this_machine_alone_is_heard(exported, serve):
    before = listening()
    ask = serve(exported / "onnx/model")
    new = {address for address, _ in listening() - before}
    assert new <= {"0100007F"}  # 127.0.0.1; Linux says who listens
    assert new or not Path("/proc/net/tcp").is_file()
    bodies = ["{", "[]", '{"text": 3}', json.dumps({"text": "a b c"})]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(ask, bodies))
    assert [status for status, _ in answers] == [422, 422, 422, 200]
    assert '"text_pair": "…"' in answers[1][1]


@pytest.mark.parametrize("engine", ["native", "onnx", "openvino"])
def test_the_server_answers_as_the_model(engine, exported, shortened, serve):
    model = load_shortened(shortened)
    from transformers import AutoTokenizer

    batch = AutoTokenizer.from_pretrained(shortened)(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = torch.softmax(model.eval()(**batch).logits, -1)[:, 1].tolist()
    ask = serve(exported / engine / "model")
    with ThreadPoolExecutor(len(TEXTS)) as pool:  # at one time, so that they are batched
        answers = list(pool.map(ask, [json.dumps({"text": text}) for text in TEXTS]))
    assert [status for status, _ in answers] == [200] * len(TEXTS)
    found = [json.loads(body) for _, body in answers]
    assert [one["probabilities"]["positive"] for one in found] == pytest.approx(expected, abs=1e-4)
    assert all(one["label"] == max(one["probabilities"], key=one["probabilities"].get) for one in found)


def test_documents_are_ranked_by_a_model_of_one_output(tmp_path, serve):
    host = make_host(num_labels=1, problem_type=Ranking.PROBLEM)
    tokenizer, elimination = build_tokenizer(TEXTS, 90), described((16, 12, 8), 16)
    save_model_dir(tmp_path / "model", host, tokenizer, RetentionFile(elimination))
    own = [f"model_dir={tmp_path}/model", "engine=onnx", "task=custom", "task.kind=ranking", "seq_len=16"]
    rows = {"query": "a b", "documents": TEXTS, "relevance": [1, 0, 0, 0]}
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(rows)}\n" * 3)
    own += [f"task.data_dir={tmp_path}", f"hydra.run.dir={tmp_path}/onnx", f"output_dir={tmp_path}/outputs"]
    assert dispatch(["export", *own]) == 0
    ask = serve(tmp_path / "onnx/model")
    requests = [{"query": "a b", "documents": TEXTS}, {"query": "c", "documents": TEXTS[2:]}]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(ask, [json.dumps(one) for one in requests] + ['{"query": "a"}'], ["/rerank"] * 3))
    assert [status for status, _ in answers] == [200, 200, 422] and '"documents": ["…"' in answers[2][1]
    for request, (_, body) in zip(requests, answers, strict=False):
        texts = request["documents"]
        batch = tokenizer([request["query"]] * len(texts), texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            wanted = torch.sigmoid(ShortenedModel(host, elimination).eval()(**batch).logits[:, 0])
        found = json.loads(body)
        assert found["scores"] == pytest.approx(wanted.tolist(), abs=1e-4)
        assert found["ranking"] == torch.argsort(-wanted).tolist()
    assert ask(json.dumps({"text": "a"}))[0] == 200


@pytest.fixture(scope="module")
def of_media(tmp_path_factory):
    """Models of pictures and of sound, TASK/model, and what export made of each in another engine, TASK/exported."""
    pytest.importorskip("jiwer")
    folder = tmp_path_factory.mktemp("media")
    few = ["epochs=1", "batch_size=8", f"output_dir={folder}"]
    tasks = {name: ([*own, *WAV2VEC2], "native") for name, own in HEARD.items()}
    tasks["pictures"] = [*SEEN, *VIT], "onnx"
    for name, (own, engine) in tasks.items():
        assert dispatch(["finetune", *own, *few, f"hydra.run.dir={folder}/{name}"]) == 0
        made = [f"model_dir={folder}/{name}/model", f"engine={engine}", f"hydra.run.dir={folder}/{name}/exported"]
        assert dispatch(["export", *made, f"output_dir={folder}"]) == 0
    return folder


@pytest.mark.parametrize("task", ["pictures", "audio", "speech"])
def test_pictures_and_clips_are_answered_as_by_predict(task, of_media, serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw, most = {"pictures": (generate, 16), "audio": (classes, 300), "speech": (spoken, 3)}[task]
    files = [content for content, _ in draw(5, 3, most)]
    Path("asked").mkdir()
    for i, content in enumerate(files):
        Path(f"asked/{i}.{'png' if task == 'pictures' else 'wav'}").write_bytes(content)
    assert dispatch(["predict", f"model_dir={of_media}/{task}/model", "input=asked", "output=answers.csv"]) == 0
    wanted = pd.read_csv("answers.csv", keep_default_na=False).to_dict("records")
    ask = serve(of_media / task / "exported/model", "media.py")
    with ThreadPoolExecutor(len(files) + 2) as pool:
        answers = list(pool.map(ask, [*files, b"nothing", files[0][: len(files[0]) // 2]]))
    assert [status for status, _ in answers] == [200] * 5 + [422] * 2, answers
    assert all("what was sent is" in body for _, body in answers[5:])
    for (_, body), row in zip(answers, wanted, strict=False):
        found = json.loads(body)
        if task == "speech":
            assert found == {"transcription": row["transcription"]}
        else:
            shares = {name: row[f"probability_{name}"] for name in found["probabilities"]}
            assert found["label"] == row["label"] and found["probabilities"] == pytest.approx(shares, abs=1e-4)


def test_small_files_that_hold_much_are_refused_before_they_are_decoded(of_media, serve):
    """Of what is sent to a model of pictures or of sound; each would take 300 MB and more."""
    soundfile = pytest.importorskip("soundfile")
    picture, flac = io.BytesIO(), io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(picture, "PNG")
    soundfile.write(flac, np.zeros(100 * RATE, np.float32), RATE, format="FLAC")
    ask = serve(of_media / "pictures/exported/model", "media.py")
    assert ask(picture.getvalue())[0] == 422
    ask = serve(of_media / "audio/exported/model", "media.py")
    short = wav_of(np.zeros(300_000, np.float32), 100)
    for body, said in ((flac.getvalue(), "is a clip of 100.00 s"), (short, "send one of")):
        status, answer = ask(body)
        assert status == 422 and said in answer, answer


def test_latencies_at_arrival_rates(exported, tmp_path):
    texts = tmp_path / "texts.tsv"
    pd.DataFrame({"sentence": TEXTS}).to_csv(texts, sep="\t", index=False)
    model = f"{exported}/onnx/model"
    command = [sys.executable, str(ROOT / "benchmarks/serving.py"), texts, "10,40", f"plain={model}", f"short={model}"]
    done = subprocess.run([*command, "seconds=1", "rounds=1"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "serving.csv")
    assert list(table["rate"]) == [10, 10, 40, 40] and list(table["model"]) == ["plain", "short"] * 2
    assert (table["failed"] == 0).all() and (table["p99_ms"] >= table["p50_ms"]).all()
    assert (table["p50_ms"] > 0).all() and (table["requests"] > 0).all()
