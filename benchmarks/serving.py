"""Latency of an exported model behind the server of examples/serve, at several arrival rates.

python benchmarks/serving.py TEXTS.tsv 4,8,12 plain=EXPORTED shortened=EXPORTED [seconds=30] [rounds=3] [column=…]

Open loop: requests are sent at random times of a Poisson process, whether earlier ones are answered or not, and a
latency counts from the time when its request was due. The server has the first core, this program the others. Models
and rates take turns within each round. Writes serving.csv into the current folder: one row for each model and rate.
"""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

SERVER = Path(__file__).resolve().parents[1] / "examples" / "serve" / "server.py"
SENDERS = 256  # requests that can wait at one time
local = threading.local()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Serving:
    """A server of a model, on the first core."""

    def __init__(self, model: str) -> None:
        self.port = free_port()
        env = {**os.environ, "MODEL": model, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, str(SERVER), "--port", str(self.port), "--timeout", "60000", "--log-level", "error"]
        cores = sorted(os.sched_getaffinity(0))
        self.process = subprocess.Popen(command, env=env, preexec_fn=lambda: os.sched_setaffinity(0, cores[:1]))
        for _ in range(600):
            try:
                self.ask("ready?")
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{model}: its server does not answer")

    def ask(self, text: str) -> int:
        """The status that a request is answered with."""
        connections = local.__dict__.setdefault("connections", {})
        connection = connections.setdefault(self.port, http.client.HTTPConnection("127.0.0.1", self.port, timeout=120))
        try:
            connection.request("POST", "/inference", json.dumps({"text": text}))
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise OSError(str(error)) from error

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def latencies(serving: Serving, texts: list[str], rate: float, seconds: float, seed: int) -> list[float]:
    """In seconds, of the requests that were answered; infinite for one that failed."""
    drawn = random.Random(seed)
    due, at = [], 0.0
    while (at := at + drawn.expovariate(rate)) < seconds:
        due.append((at, drawn.choice(texts)))
    start = time.perf_counter()

    def send(moment: float, text: str) -> float:
        try:
            status = serving.ask(text)
        except OSError:
            return float("inf")
        return time.perf_counter() - start - moment if status == 200 else float("inf")

    with ThreadPoolExecutor(SENDERS) as pool:
        waiting = []
        for moment, text in due:
            time.sleep(max(0.0, start + moment - time.perf_counter()))
            waiting.append(pool.submit(send, moment, text))
        return [one.result() for one in waiting]


def main() -> None:
    file, rates, *rest = sys.argv[1:]
    given = dict(part.split("=", 1) for part in rest)
    seconds, rounds = float(given.pop("seconds", 30)), int(given.pop("rounds", 3))
    column = given.pop("column", "sentence")
    texts = pd.read_csv(file, sep="\t", quoting=3, keep_default_na=False)[column].tolist()
    texts = random.Random(0).sample(texts, min(len(texts), 500))
    own = sorted(os.sched_getaffinity(0))
    servers = {name: Serving(model) for name, model in given.items()}
    os.sched_setaffinity(0, own[1:] or own)
    seen: dict[tuple[float, str], list[float]] = {}
    try:
        for name, serving in servers.items():  # warm, and closed loop: what one after the other takes
            start = time.perf_counter()
            for text in texts[:30]:
                serving.ask(text)
            print(
                f"{name}: {30 / (time.perf_counter() - start):.1f} requests a second, one after the other", flush=True
            )
        for number in range(rounds):
            for rate in map(float, rates.split(",")):
                for name, serving in servers.items():
                    found = latencies(serving, texts, rate, seconds, number)
                    seen.setdefault((rate, name), []).extend(found)
                    print(f"round {number + 1}: {name} at {rate:g}/s: p50 {1000 * np.median(found):.0f} ms", flush=True)
    finally:
        for serving in servers.values():
            serving.stop()
    rows = [
        {
            "rate": rate,
            "model": name,
            "requests": len(found),
            "failed": int(np.isinf(found).sum()),
            **{f"p{p}_ms": round(1000 * float(np.percentile(found, p, method="higher")), 1) for p in (50, 99)},
        }
        for (rate, name), found in seen.items()
    ]
    table = pd.DataFrame(rows)
    table.to_csv("serving.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
