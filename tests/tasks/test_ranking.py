"""Queries with candidates: rows, folders in BEIR's form, CrossEncoders in and out."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from hosts import described, make_host
from queries import TOKENIZER, beir, cross_encoder, judge

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
from powerbert_cli.tasks.tokenizing import tokenize

KIND = Ranking(None, "ndcg_10")
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


@pytest.fixture
def folder(tmp_path):
    return beir(tmp_path / "beir")


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
    return cross_encoder(tmp_path)


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
