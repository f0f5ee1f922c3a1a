"""Queries with candidates: rows, folders in BEIR's form, CrossEncoders in and out, and whole commands."""

import json
import random
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from hosts import described, make_host
from small import QUICK, newest, run_card
from transformers import AutoModel

from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.families import known_problem
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds import kind_name
from powerbert_cli.kinds.labels import LabelError
from powerbert_cli.kinds.ranking import Ranking
from powerbert_cli.kinds.values import RowError
from powerbert_cli.models.classes import kind_of
from powerbert_cli.models.embedders import read_pooling
from powerbert_cli.models.model_dir import load_plain, save_model_dir
from powerbert_cli.models.weights import ModelError
from powerbert_cli.store.retention_file import RetentionFile
from powerbert_cli.tasks import candidates
from powerbert_cli.tasks.metrics import METRICS
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.tasks.tokenizing import build_tokenizer, tokenize

KIND = Ranking(None, "ndcg_10")
WORDS = ["red", "blue", "apple", "pear", "tree", "car", "sky", "sea", "old", "new"]
TOKENIZER = build_tokenizer([" ".join(WORDS)], 100)
TEXTS = ["query", "documents"]


def rows(*given):
    """Query, documents, relevances."""
    names = ("query", "documents", "label")
    return datasets.Dataset.from_dict(
        {name: list(values) for name, values in zip(names, zip(*given, strict=True), strict=True)}
    )


# rows


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"query": "a"}, "has no 'documents'"),
        ({"query": "a", "documents": "b c"}, "has 'b c' as 'documents'; it must be a list of texts"),
        ({"query": "a", "documents": []}, "has an empty list as 'documents'"),
        ({"documents": ["b"]}, "has no 'query'"),
        ({"query": "a", "documents": ["b", None]}, "has no 'documents"),
        ({"query": "a", "documents": ["b", ["c"]]}, "of type list; it must be a text"),
    ],
)
def test_a_row_that_is_none_is_said(row, why):
    with pytest.raises(RowError, match=why):
        KIND.inputs(row, TEXTS)


@pytest.mark.parametrize(
    ("relevance", "why"),
    [
        ([1], "has 2 documents and 1 numbers in 'relevance'; give each document one"),
        ([1, "yes"], "has 'yes' in 'relevance', number 2; a relevance must be a finite number"),
        ([1, float("nan")], "has nan in 'relevance'"),
        (None, "has None as 'relevance'; it must be a list of numbers"),
        (1, "has 1 as 'relevance'"),
    ],
)
def test_relevances_that_are_none_are_said(relevance, why):
    read = KIND.label_reader(["relevance"], None)
    with pytest.raises(LabelError, match=why):
        read({"relevance": relevance}, {"query": "a", "documents": ["b", "c"]})


def test_labels_are_found_by_name_and_missed_ones_count():
    assert KIND.label_columns(["query", "documents", "relevance"], "label") == ["relevance"]
    assert KIND.label_columns(["grades", "relevance", "missed"], "grades") == ["grades", "missed"]
    assert KIND.label_columns(["query", "documents"], "label") is None
    read = KIND.label_reader(["relevance", "missed"], None)
    assert read({"relevance": ["2", 0], "missed": [1]}, {"documents": ["b", "c"]}) == [2.0, 0.0, 1.0]
    assert read({"relevance": [2, 0], "missed": None}, {"documents": ["b", "c"]}) == [2.0, 0.0]


def test_a_row_becomes_a_pair_for_each_candidate():
    given = rows(("red apple", ["blue sky", "apple tree", "sea"], [0.0, 3.0, 1.0]), ("car", ["old car"], [0.5, 1.0]))
    tokens = tokenize(given, KIND, TOKENIZER, 16)
    assert tokens["row"][:] == [0, 0, 0, 1]
    assert tokens["labels"][:] == [[0.0], [1.0], [pytest.approx(1 / 3)], [0.5]]
    assert TOKENIZER.decode(tokens[1]["input_ids"]) == "[CLS] red apple [SEP] apple tree [SEP]"
    assert KIND.labels(tokens).tolist() == [((0, 0.0), (1, 3.0), (2, 1.0)), ((0, 0.5), (1, 1.0))]
    found = KIND.predictions(np.array([[0.1], [2.0], [2.0], [-1.0]]), tokens)
    assert found.tolist() == [(1, 2, 0), (0,)]
    assert METRICS["mrr_10"](KIND.labels(tokens), found) == 1.0
    missed = METRICS["map"](KIND.labels(tokens)[1:], found[1:])
    assert missed == 0.5  # one of two relevant documents is no candidate
    assert KIND.differ(found, KIND.predictions(np.array([[0.1], [1.0], [2.0], [-1.0]]), tokens)) == 0.5


def test_a_query_stays_whole_where_it_takes_half_of_the_room():
    long = " ".join(["tree"] * 30)
    tokens = tokenize(rows(("red apple", [long], [1.0]), (long, ["red car"], [1.0])), KIND, TOKENIZER, 12)
    assert TOKENIZER.decode(tokens[0]["input_ids"]) == "[CLS] red apple [SEP] tree tree tree tree tree tree tree [SEP]"
    assert TOKENIZER.decode(tokens[1]["input_ids"]).endswith("[SEP] red car [SEP]") and tokens["length"][:] == [12, 12]


def test_relevances_become_targets_between_0_and_1():
    tokens = tokenize(rows(("a", ["b"] * 4, [-1.0, 0.0, 2.0, 4.0]), ("a", ["b"] * 2, [0.2, 0.4])), KIND, TOKENIZER, 8)
    assert np.ravel(tokens["labels"][:]).tolist() == pytest.approx([0, 0, 0.5, 1, 0.2, 0.4])


def test_the_loss_is_binary_cross_entropy_and_distances_are_those_of_numbers():
    host = make_host(num_labels=1, problem_type=Ranking.PROBLEM)
    batch = {"input_ids": torch.randint(5, 90, (3, 9)), "labels": torch.tensor([[0.0], [1.0], [0.5]])}
    with torch.no_grad():
        theirs, found = host(**batch), ShortenedModel(host, described(None, 16)).eval()(**batch)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(theirs.logits, batch["labels"])
    assert found.loss == pytest.approx(float(wanted), abs=1e-6) and theirs.loss == pytest.approx(float(wanted))
    assert known_problem(host.config) == "regression"


def test_the_kind_is_told_by_the_task_where_the_model_can_mean_it():
    head = "ForSequenceClassification"
    assert kind_name(head, None, 1) == "regression" and kind_name(head, None, 1, "ranking") == "ranking"
    assert kind_name(head, "regression", 1, "ranking") == "ranking"
    assert kind_name(head, Ranking.PROBLEM, 1, "ranking") == "ranking"
    assert kind_name(head, Ranking.PROBLEM, 3, "ranking") == "multi_label"
    assert kind_name(head, None, 2, "ranking") == "classification"
    config = make_host(num_labels=1, problem_type=None).config
    assert kind_of(config, {"kind": "ranking", "metric": "map"}).metric == "map"


# folders in BEIR's form

CORPUS = {"d1": "red apple", "d2": "blue sky", "d3": "old car", "d4": "green pear", "d5": "apple pear tree"}
QUERIES = {"q1": "apple", "q2": "sky", "q3": "car", "q4": "pear"}


@pytest.fixture
def folder(tmp_path):
    own = tmp_path / "beir"
    (own / "qrels").mkdir(parents=True)
    write = {"corpus": CORPUS, "queries": QUERIES}
    for name, texts in write.items():
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (own / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    judge(own, "test", [("q1", "d5", 2), ("q2", "d3", 1)])
    return own


def judge(folder, split, judgements, kind="qrels", header="query-id\tcorpus-id\tscore"):
    (folder / kind).mkdir(exist_ok=True)
    lines = ["\t".join(map(str, one)) for one in judgements]
    (folder / kind / f"{split}.tsv").write_text("\n".join([header, *lines]) + "\n")


def read(folder, split, most=2):
    source = candidates.source(folder, split, most)
    return None if source is None else (source, [row for _, row in source.rows([])])


def test_bm25_finds_the_candidates_and_relevant_documents_beyond_them_count(folder):
    source, found = read(folder, "dev")
    assert source.columns == ["query", "documents", "relevance", "missed"]
    assert found[0] == {
        "query": "apple",
        "documents": ["red apple", "apple pear tree"],
        "relevance": [0.0, 2.0],
        "missed": [],
    }
    assert found[1]["documents"] == ["blue sky", "red apple"] and found[1]["missed"] == [1.0]
    assert read(folder, "test") is None  # it stands for dev
    judge(folder, "dev", [("q3", "d3", 1)])
    assert [row["query"] for row in read(folder, "dev")[1]] == ["car"]
    assert [row["query"] for row in read(folder, "test")[1]] == ["apple", "sky"]
    assert len(read(folder, "test", most=9)[1][0]["documents"]) == 5


def test_training_without_judgements_has_the_queries_that_no_split_has(folder):
    source, found = read(folder, "train")
    assert source.columns == ["query", "documents"] and [row["query"] for row in found] == ["car", "pear"]
    judge(folder, "train", [("q3", "d1", 1)])
    source, found = read(folder, "train")
    assert found == [
        {
            "query": "car",
            "documents": ["old car", "red apple"],
            "relevance": [0.0, 1.0],
            "missed": [],
        }
    ]
    (folder / "qrels/train.tsv").unlink()
    judge(folder, "dev", [("q3", "d3", 1), ("q4", "d4", 1)])
    with pytest.raises(DataError, match="none is left to train on; give qrels/train.tsv"):
        read(folder, "train")


def test_candidates_that_are_given(folder):
    judge(folder, "test", [("q1", "d4"), ("q1", "d2"), ("q2", "d1")], "candidates", "query-id\tcorpus-id")
    found = read(folder, "dev")[1]
    assert [row["documents"] for row in found] == [["green pear", "blue sky"], ["red apple"]]
    assert found[0]["missed"] == [2.0]
    judge(folder, "test", [("q1", "d4", 1), ("q1", "d2", 3), ("q2", "d1", 0)], "candidates")
    assert read(folder, "dev", most=1)[1][0]["documents"] == ["blue sky"]


@pytest.mark.parametrize(
    ("lines", "header", "why"),
    [
        ([("q1", "d1")], "query\tcorpus-id", "no column 'query-id'"),
        ([("q1", "d9")], "query-id\tcorpus-id", "names 'd9', which corpus.jsonl has not"),
        ([("q9", "d1")], "query-id\tcorpus-id", "names 'q9', which queries.jsonl has not"),
        ([("q1", "d1", "x")], "query-id\tcorpus-id\tscore", "has score 'x'; give a number"),
        ([("q1", "d1")], "query-id\tcorpus-id", "has no candidate for query 'q2'"),
    ],
)
def test_candidates_that_are_none_are_said(lines, header, why, folder):
    judge(folder, "test", lines, "candidates", header)
    with pytest.raises(DataError, match=why):
        read(folder, "dev")


# models of sentence-transformers

PAIRS = [("red apple", "old tree"), ("red apple", "apple"), ("car", "the blue sea and the sky " * 9), ("sky", "")]


@pytest.fixture
def saved(tmp_path):
    """A folder of a CrossEncoder's, of modules, and the CrossEncoder."""
    library = pytest.importorskip("sentence_transformers")
    make_host(num_labels=1, problem_type=None).save_pretrained(tmp_path / "plain")
    TOKENIZER.save_pretrained(tmp_path / "plain")
    made = library.CrossEncoder(str(tmp_path / "plain"), device="cpu", max_length=32)
    made.save_pretrained(str(tmp_path / "cross"))
    return tmp_path / "cross", made


def scored(model, tokenizer, seq_len):
    batch = tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, truncation=True, max_length=seq_len)
    with torch.no_grad():
        given = {name: torch.tensor(values) for name, values in batch.items()}
        return torch.sigmoid(model(**given).logits[:, 0]).numpy()


def test_a_cross_encoder_is_loaded_and_answers_alike(saved, here):
    folder, cross = saved
    assert (folder / "modules.json").is_file()
    wanted = cross.predict(PAIRS)
    assert scored(load_plain(folder), TOKENIZER, 32) == pytest.approx(wanted, abs=1e-5)
    Path("in.jsonl").write_text(json.dumps({"query": "red apple", "documents": ["old tree", "apple"]}) + "\n")
    task = {"kind": "ranking", "text_columns": TEXTS, "metric": "ndcg_10"}
    (folder / "task.json").write_text(json.dumps({"schema": "powerbert/task", "seq_len": 32, "task": task}))
    assert dispatch(["predict", f"model_dir={folder}", "input=in.jsonl", "output=out.jsonl"]) == 0
    (found,) = (json.loads(line) for line in Path("out.jsonl").read_text().splitlines())
    by_document = {one["document"]: one["score"] for one in found["ranking"]}
    assert [by_document[0], by_document[1]] == pytest.approx(wanted[:2].tolist(), abs=1e-5)
    assert found["ranking"][0]["document"] == int(np.argmax(wanted[:2]))


def test_models_that_are_saved_load_as_cross_encoders(saved, tmp_path):
    from sentence_transformers import CrossEncoder

    from powerbert_cli.sentence import load_reranker

    host = load_plain(saved[0])
    host.config.problem_type = Ranking.PROBLEM
    save_model_dir(tmp_path / "own", host, TOKENIZER)
    own = CrossEncoder(str(tmp_path / "own"), device="cpu", max_length=32)
    assert own.predict(PAIRS) == pytest.approx(saved[1].predict(PAIRS), abs=1e-5)
    elimination = described((12, 8, 4), 16)
    save_model_dir(tmp_path / "short", host, TOKENIZER, RetentionFile(elimination))
    wanted = scored(ShortenedModel(host, elimination).eval(), TOKENIZER, 16)
    short = CrossEncoder(str(tmp_path / "short"), device="cpu", trust_remote_code=True)
    assert short.predict(PAIRS) == pytest.approx(wanted, abs=1e-5) and short.num_labels == 1
    assert not read_pooling(str(tmp_path / "short"), host.config)
    reranker = load_reranker(tmp_path / "short")
    assert reranker.rank("red apple", ["old tree", "apple"])[0]["score"] == pytest.approx(max(wanted[:2]), abs=1e-5)
    short.save_pretrained(str(tmp_path / "again"))
    again = CrossEncoder(str(tmp_path / "again"), device="cpu", trust_remote_code=True)
    assert again.predict(PAIRS) == pytest.approx(wanted, abs=1e-5)


def test_a_cross_encoder_of_other_modules_is_said(saved):
    folder, _ = saved
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 1, "name": "1", "path": "1_Dense", "type": "sentence_transformers.base.modules.dense.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="has a module Dense; this encoder does a CrossEncoder of one Transformer"):
        load_plain(folder)


# whole commands


def example(draw):
    """The document that says the query's word is relevant."""
    word = draw.choice(WORDS[:6])
    others = [draw.choice([one for one in WORDS[:6] if one != word]) for _ in range(3)]
    documents = [f"{draw.choice(WORDS[6:])} {one}" for one in (word, *others)]
    order = draw.sample(range(4), 4)
    return {
        "query": word,
        "documents": [documents[i] for i in order],
        "relevance": [int(i == 0) for i in order],
    }


@pytest.fixture
def data(here):
    draw = random.Random(0)
    for name, count in (("train", 24), ("dev", 12), ("test", 4)):
        lines = [example(draw) for _ in range(count)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return here


RANKS = ["task=custom", "task.kind=ranking", "task.data_dir=.", "seq_len=12"]
TINY = [*RANKS, "model=tiny", "model.config.num_hidden_layers=2", "batch_size=8", "lr=1e-3", "epochs=2"]
SHORTER = ["searcher=calibrate", "retention.kind=relative", "target.flops=0.6"]


def test_whole_commands(data, monkeypatch, capfd):
    """Trained with relevances; shortened by the scores of the plain model alone; timed, answered, checked."""
    assert dispatch(["finetune", *TINY, "predict_test=true"]) == 0
    run = newest("finetune")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["metric"] == "ndcg_10" and metrics["n"] == 12
    low, high = metrics["interval"]
    assert low < metrics["value"] < high and {"mrr_10", "map"} <= set(metrics)
    config = json.loads((run / "model/config.json").read_text())
    assert config["problem_type"] == Ranking.PROBLEM and config["id2label"] == {"0": "relevance"}
    orders = pd.read_csv(run / "test_predictions.tsv", sep="\t")["prediction"]
    assert [sorted(order.split()) for order in orders] == [["0", "1", "2", "3"]] * 4

    assert len(run_card(run / "model", monkeypatch)["ranking"]) == 2
    plain = f"model_dir={run / 'model'}"
    lines = [json.loads(line) for line in Path("train.jsonl").read_text().splitlines()]
    for line in lines:
        del line["relevance"]  # nothing but the scores is left to learn from
    Path("train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert dispatch(["retrain", plain, *SHORTER, "retrain.epochs=1"]) == 0
    run = newest("retrain")
    assert json.loads((run / "model/modules.json").read_text())[0]["type"] == "powerbert_cli.sentence.Reranker"
    assert len(run_card(run / "model", monkeypatch)["ranking"]) == 2
    model = f"model_dir={run / 'model'}"
    timed = [*QUICK, "bench.examples=8", "bench.engines=[eager]"]
    assert dispatch(["bench", model, *timed, "bench.accuracy=true"]) == 0
    timing = pd.read_csv(newest("bench") / "timing.csv")
    assert timing["value"].between(0, 1).any() and set(timing["answers_differ"].dropna()) == {0.0}
    assert dispatch(["predict", model, "input=test.jsonl", "output=out.jsonl"]) == 0
    answers = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    for one in answers:
        logits = [entry["logit"] for entry in one["ranking"]]
        assert logits == sorted(logits, reverse=True) and {entry["document"] for entry in one["ranking"]} == {
            0,
            1,
            2,
            3,
        }
        assert all(0 < entry["score"] < 1 for entry in one["ranking"])
    assert dispatch(["predict", model, "input=test.jsonl", "output=out.jsonl", "predict.survivors=true"]) != 0
    assert "set predict.survivors=false" in capfd.readouterr().err
    assert dispatch(["predict", model, "input=test.jsonl", "output=out.parquet"]) == 0
    assert pd.read_parquet("out.parquet")["ranking"][0][0]["document"] == answers[0]["ranking"][0]["document"]
    capfd.readouterr()
    assert dispatch(["check", plain, "check.steps=2"]) == 0
    assert "relevances 48, relevant 12" in " ".join(capfd.readouterr().out.split())
    assert dispatch(["retrain", plain, "retrain.epochs=1"]) != 0
    assert "searcher=soft trains with labels, task.kind=ranking has none here" in capfd.readouterr().err
    assert dispatch(["retrain", plain, *SHORTER, "compress.heads=0.5"]) != 0
    assert "compress.score=taylor read labels, task.kind=ranking has none to learn from here" in capfd.readouterr().err
    assert dispatch(["finetune", *TINY]) != 0
    assert "has no head of task.kind=ranking to learn from; give labels" in capfd.readouterr().err


def test_labels_are_left_out_where_a_teacher_says_all(data):
    assert dispatch(["retrain", *TINY, "epochs=1", *SHORTER, "retrain.distill=1", "compress.ffn=0.5"]) == 0
    assert json.loads((newest("retrain") / "metrics.json").read_text())["n"] == 12


def test_a_folder_in_beirs_form_is_trained_on(folder, here):
    judge(folder, "train", [("q3", "d3", 1), ("q4", "d4", 1)])
    own = [one for one in TINY if not one.startswith("task.data_dir")]
    assert dispatch(["finetune", *own, f"task.data_dir={folder}", "task.candidates=3", "epochs=1"]) == 0
    assert json.loads((newest("finetune") / "metrics.json").read_text())["n"] == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"query": "a", "documents": []}, "train.jsonl: row 1 (line 1) has an empty list as 'documents'"),
        ({"query": "a", "documents": ["b", None]}, "row 1 (line 1) has no 'documents[1]'"),
        ({"query": "a", "documents": ["b"], "relevance": [1, 2]}, "train.jsonl: row 1 (line 1) has 1 documents and 2"),
        ({"query": "a", "documents": ["b"], "relevance": ["x"]}, "row 1 (line 1) has 'x' in 'relevance', number 1"),
        ({"query": "a", "texts": ["b"]}, "set task.text_columns"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(line, why, data, capfd):
    Path("train.jsonl").write_text(json.dumps({"relevance": [1], **line}) + "\n")
    assert dispatch(["finetune", *TINY]) != 0
    assert why in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["task.metric=spearman"], "task.metric=spearman is not for task.kind=ranking"),
        (["task.text_columns=[query]"], "must name two columns"),
        (["task.candidates=0"], "task.candidates"),
        (["research.variant.best_by=ibm"], "set research.variant.best_by=metric"),
        (["task.label_names=[a,b]"], "has no classes; set task.label_names=null"),
    ],
)
def test_what_does_not_go_together_is_said(given, why, data, capfd):
    assert dispatch(["finetune", *RANKS, *given]) != 0
    assert why in capfd.readouterr().err


def test_training_rows_without_labels_measure_nothing(data, capfd):
    Path("train.jsonl").write_text(json.dumps({"query": "a", "documents": ["b"]}) + "\n")
    Path("dev.jsonl").unlink()
    assert dispatch(["finetune", *TINY]) != 0
    assert "to measure task.metric=ndcg_10 by; give dev.* with labels" in capfd.readouterr().err


def test_a_cross_encoder_is_shortened_by_its_own_scores(saved, data):
    folder, _ = saved
    lines = [json.loads(line) for line in Path("train.jsonl").read_text().splitlines()]
    few = ({"query": one["query"], "documents": one["documents"]} for one in lines)
    Path("train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in few))
    own = [f"model_dir={folder}", "task.kind=ranking", "task.data_dir=.", "seq_len=12", "batch_size=8"]
    assert dispatch(["retrain", *own, *SHORTER, "epochs=1"]) == 0
    assert json.loads((newest("retrain") / "model/task.json").read_text())["task"]["kind"] == "ranking"


def test_a_plain_encoder_gets_a_head(data):
    """An encoder without a head is one to train, with labels."""
    host = make_host(auto=AutoModel, num_labels=1, problem_type=None)
    host.save_pretrained("encoder")
    TOKENIZER.save_pretrained("encoder")
    own = ["model.name_or_path=encoder", "batch_size=8", "epochs=1", "lr=1e-3"]
    assert dispatch(["finetune", *RANKS, *own]) == 0
