"""powerbert predict, as whole commands."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from small import run_card

from powerbert_cli import api
from powerbert_cli.cli import dispatch

READ = {"parquet": pd.read_parquet, "csv": pd.read_csv}
SMALL = ["experiment=smoke", "model.config.num_hidden_layers=2", "seq_len=24"]


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Answers what is given on standard input: the exit code, and what it says on standard output and error."""

    def run(*args, given=""):
        (tmp_path / "given").write_text(given)
        with (tmp_path / "given").open() as stdin, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            return (dispatch(["predict", *map(str, args)]), *capfd.readouterr())

    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data/, and of it a plain and a shortened run: plain, short."""
    folder = tmp_path_factory.mktemp("predict")
    before = os.getcwd()
    os.chdir(folder)
    try:
        words = "abcdefghijklmnop"
        Path("data").mkdir()
        for split, count in (("train", 96), ("dev", 60)):
            texts = [" ".join(words[(i * 7 + k) % 16] for k in range(2 + i % 30)) for i in range(count)]
            rows = [f"{text}\t{int('a' in text)}" for text in texts]
            Path(f"data/{split}.tsv").write_text("sentence\tlabel\n" + "\n".join(rows) + "\n")
        own = [
            "task=custom",
            "task.data_dir=data",
            "task.label_names=[bad,good]",
            "task.text_columns=[sentence]",
            "model=tiny",
            "epochs=2",
            *SMALL[1:],
        ]
        assert dispatch(["finetune", *own, "hydra.run.dir=plain"]) == 0
        assert dispatch(["retrain", *own, "retention.lengths=[12,5]", "hydra.run.dir=short"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.mark.parametrize("kind", ["plain", "short"])
def test_answers_on_dev_are_those_of_the_run(kind, trained, here, capfd):
    own = [f"model_dir={trained}/{kind}/model", f"input={trained}/data/dev.tsv", "output=a.csv"]
    assert dispatch(["predict", *own, "predict.together=16", "batch_size=8"]) == 0
    said = capfd.readouterr()
    assert "60 rows in" in said.err and "rows a second" in said.err and not said.out
    assert [path.name for path in here.iterdir()] == ["a.csv"]
    found = pd.read_csv("a.csv")
    known = pd.read_csv(trained / kind / "predictions.csv")
    assert list(found["label"]) == [("bad", "good")[int(i)] for i in known["prediction"]]
    share = 1 / (1 + np.exp(known["logit_0"] - known["logit_1"]))
    assert (found["probability_good"] - share).abs().max() < 1e-4
    metrics = json.loads((trained / kind / "metrics.json").read_text())
    labels = pd.read_csv(trained / "data/dev.tsv", sep="\t")["label"]
    assert float((found["label"] == labels.map({0: "bad", 1: "good"})).mean()) == pytest.approx(metrics["value"])


def test_standard_input_to_standard_output(trained, command):
    code, out, _ = command(f"model_dir={trained}/short/model", given="a b c\nd\n\n")
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and len(rows) == 3 and all(row[0] in ("bad", "good") for row in rows)
    assert all(float(row[1]) + float(row[2]) == pytest.approx(1, abs=1e-4) for row in rows)


def test_words_with_the_last_layer_that_they_reached(trained, here):
    Path("in.txt").write_text("a b c d e f g h i j k l m n o p a b c d\n")
    own = [f"model_dir={trained}/short/model", "input=in.txt", "output=a.jsonl", "predict.survivors=true"]
    assert dispatch(["predict", *own]) == 0
    words = json.loads(Path("a.jsonl").read_text())["words"]
    assert "".join(one["word"] for one in words) == "abcdefghijklmnopabcd"
    layers = [one["layer"] for one in words]
    # [CLS] is among the 12 and the 5, and no word; the separator may be
    assert sum(layer >= 1 for layer in layers) in (10, 11) and sum(layer == 2 for layer in layers) in (3, 4)


def test_bad_rows_stop_it_or_are_listed(trained, here, capfd):
    Path("rows.jsonl").write_text('{"sentence": "a"}\n{"sentence": null}\n{"sentence": "b"}\nnothing\n')
    own = [f"model_dir={trained}/short/model", "input=rows.jsonl", "output=a.parquet"]
    assert dispatch(["predict", *own]) == 2
    said = capfd.readouterr().err
    assert "rows.jsonl: row 2 (line 2) has no 'sentence'" in said and "predict.on_error=skip" in said
    assert "1 answers are in a.parquet.part" in said and len(pd.read_parquet("a.parquet.part")) == 1
    assert dispatch(["predict", *own, "predict.on_error=skip"]) == 0
    assert "2 rows, 2 skipped" in capfd.readouterr().err and len(pd.read_parquet("a.parquet")) == 2
    assert Path("a.parquet.errors.tsv").read_text().splitlines()[1].startswith("row 2 (line 2)\thas no 'sentence'")


@pytest.mark.parametrize("own", [["engine=onnx", "precision=int8"], ["engine=eager", "precision=int8"]])
def test_other_engines_answer_too(own, few_bits, here):
    pytest.importorskip("onnxruntime")
    Path("texts.txt").write_text("".join(f"{' '.join('abcdefgh'[i % 5 : i % 9])}\n" for i in range(40)))
    found = []
    for engine in ([], own):
        assert dispatch(["predict", f"model_dir={few_bits}", "input=texts.txt", "output=a.jsonl", *engine]) == 0
        found.append([json.loads(line)["label"] for line in Path("a.jsonl").read_text().splitlines()])
    assert len(found[0]) == 40 and (pd.Series(found[0]) == pd.Series(found[1])).mean() > 0.8


def test_from_python(trained, tmp_path):
    answers = tmp_path / "a.jsonl"
    settings = api.settings(
        "predict", f"model_dir={trained}/short/model", f"input={trained}/data/dev.tsv", f"output={answers}"
    )
    assert api.predict(settings).rows == 60 and len(answers.read_text().splitlines()) == 60


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "model_dir is not given; give a finished model directory: model_dir=RUN/model"),
        (["model_dir=nowhere"], "model_dir=nowhere is no model directory"),
        (["model_dir=MODEL", "input=nowhere"], "input=nowhere is no file"),
        (["model_dir=MODEL", "engine=tensorrt"], "engine=tensorrt is none of eager"),
        (["model_dir=MODEL", "predict.on_error=skip"], "give output=FILE"),
        (["model_dir=MODEL", "out=x"], "unknown key 'out' (did you mean 'output'?)"),
    ],
)
def test_mistakes(args, message, trained, capfd):
    assert dispatch(["predict", *(arg.replace("MODEL", f"{trained}/short/model") for arg in args)]) == 2
    assert message in capfd.readouterr().err


def predicted(trained, *args, kind="short"):
    return dispatch(["predict", f"model_dir={trained}/{kind}/model", *map(str, args)])


def test_columns_of_the_input_stand_beside_the_answers(trained, here):
    Path("in.csv").write_text('id,sentence,label,"note, long"\n007,a b,x,"1,5"\nNA,c d,y,\n')
    assert predicted(trained, "input=in.csv", "output=out.csv") == 0
    table = pd.read_csv("out.csv", dtype=str, keep_default_na=False)
    assert list(table)[:5] == ["id", "sentence", "input_label", "note, long", "label"]
    assert list(table["id"]) == ["007", "NA"] and list(table["note, long"]) == ["1,5", ""]
    assert predicted(trained, "input=in.csv", "output=out.jsonl", "predict.keep=[id]") == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [list(row) for row in rows] == [["id", "label", "probability"]] * 2 and rows[0]["id"] == "007"
    pd.DataFrame({"id": [7, 8], "sentence": ["a", "b"]}).to_parquet("in.parquet")
    assert predicted(trained, "input=in.parquet", "output=out.parquet", "predict.keep=[id]") == 0
    assert pd.read_parquet("out.parquet")["id"].tolist() == [7, 8]


@pytest.mark.parametrize(
    ("name", "content", "more", "message"),
    [
        ("a.csv", "text\na b\n", [], "a.csv has no column 'sentence'"),
        ("a.csv", "title,text\na,b\n", [], "set text_columns"),
        ("a.csv", "sentence;id\na;1\n", [], "fields are separated by commas, not ';'"),
        ("a.csv", "sentence,sentence\na,b\n", [], "2 columns are called 'sentence'"),
        ("a.csv", 'sentence,id\n"a,1\nb,2\n', [], "is a quote not closed"),
        ("a.csv", "sentence,id\na,1\nsentence,id\n", [], "row 2 (line 3) is the header once more"),
        ("a.csv", "sentence,id\na,1\n", ["predict.keep=[ID]"], "predict.keep=['ID']: a.csv has no column 'ID'"),
        ("a.csv", "x,y\na,b\n", ["text_columns=[x,y]"], "the model was trained on sentence; name 1 of them"),
        ("a.txt", "a\n", ["text_columns=[sentence]"], "is for files with columns"),
        ("a.xlsx", "a\n", [], "its ending is none of tsv, csv, jsonl, json, parquet"),
        ("a.csv.zip", "PK", [], "unpack it first"),
        ("a.jsonl", '{"sentence": "\\ud83d"}\n', [], "half of a character"),
        ("a.csv", "sentence\na\n", ["output=b.doc"], "output=b.doc: its ending is none of"),
        ("a.csv", "sentence\na\n", ["output=a.csv"], "output=a.csv: a.csv is the input, which would be lost"),
        ("b.csv.part", "sentence\na\n", ["output=b.csv", "predict.input_format=csv"], "b.csv.part is the input"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(trained, here, capfd, name, content, more, message):
    Path(name).write_text(content)
    assert predicted(trained, f"input={name}", *(more or ["output=out.csv"])) == 2
    assert message in capfd.readouterr().err and Path(name).read_text() == content


def test_columns_that_are_called_as_ours_are_all_kept(trained, here):
    Path("in.csv").write_text("sentence,label,input_label,input_input_label\na b,x,y,z\n")
    assert predicted(trained, "input=in.csv", "output=out.csv") == 0
    row = pd.read_csv("out.csv").iloc[0].to_dict()
    assert [row[name] for name in ("input_input_input_label", "input_label", "input_input_label")] == ["x", "y", "z"]


def test_halves_of_characters_in_kept_columns_are_rows_to_mend(trained, here, capfd):
    Path("in.jsonl").write_text('{"sentence": "a", "note": ["\\ud800"]}\n')
    assert predicted(trained, "input=in.jsonl", "output=out.jsonl") == 2
    assert "half of a character" in capfd.readouterr().err


def test_an_output_that_is_no_file(trained, here, capfd):
    Path("in.txt").write_text("a\n")
    os.mkfifo("pipe")
    assert predicted(trained, "input=in.txt", "output=pipe", "predict.output_format=csv") == 2
    assert "output=pipe is no regular file; give one, or - for standard output" in capfd.readouterr().err
    Path("real.csv").write_text("")
    Path("link.csv").symlink_to("real.csv")
    assert predicted(trained, "input=in.txt", "output=link.csv") == 0
    assert Path("link.csv").is_symlink() and len(Path("real.csv").read_text().splitlines()) == 2


def test_a_link_to_the_input_is_the_input(trained, here, capfd):
    Path("in.csv").write_text("sentence\na\n")
    Path("out.csv").symlink_to("in.csv")
    assert predicted(trained, "input=in.csv", "output=out.csv") == 2 and "is the input" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_an_input_without_rows(trained, here, kind):
    Path("in.txt").write_text("")
    assert predicted(trained, "input=in.txt", f"output=out.{kind}") == 0
    assert Path(f"out.{kind}").is_file() and (kind == "jsonl" or not len(READ[kind](f"out.{kind}")))


def test_formats_by_their_endings_whatever_the_case(trained, here):
    Path("A.CSV").write_text("sentence\na\nb\n")
    Path("a.json").write_text('[{"sentence": "a"}, {"sentence": "b"}]')
    for name in ("A.CSV", "a.json"):
        assert predicted(trained, f"input={name}", "output=out.jsonl") == 0
        assert len(Path("out.jsonl").read_text().splitlines()) == 2


def test_a_header_on_standard_input_is_no_text(trained, command):
    for given in ("id,sentence\n1,a\n", "sentence\tid\na\t1\n", '{"sentence": "a"}\n'):
        code, out, err = command(f"model_dir={trained}/short/model", given=given)
        assert code == 2 and "set predict.input_format=" in err and not out
    code, out, _ = command(f"model_dir={trained}/short/model", "predict.input_format=csv", given="id,sentence\n1,a\n")
    assert code == 0 and len(out.splitlines()) == 1


@pytest.mark.extras
@pytest.mark.parametrize("more", ["", pytest.param("a b\n" * 9999, marks=pytest.mark.slow)])
def test_who_reads_goes_away(trained, more):
    """The first rows are answered as they come; it ends without a word, while it waits for more or writes others."""
    args = [sys.executable, "-m", "powerbert_cli", "predict", f"model_dir={trained}/short/model"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(args, **pipes, text=True, env=env) as process:
        process.stdin.write("a b\nc d\n")
        process.stdin.flush()
        assert process.stdout.readline().split("\t")[0] in ("bad", "good")
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(more)
            process.stdin.flush()
        try:
            assert process.wait(timeout=120) == 0
            said = process.stderr.read()
            assert "Traceback" not in said and "rror" not in said
        finally:
            process.kill()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def copy_of(trained, to, *without):
    shutil.copytree(trained / "plain" / "model", to)
    for name in without:
        for path in to.glob(name):
            path.unlink()
    return to


def test_a_folder_without_its_tokenizer(trained, here, capfd):
    copy_of(trained, here / "bare", "tokenizer*", "vocab*", "special_tokens*")
    Path("in.txt").write_text("a\n")
    assert dispatch(["predict", "model_dir=bare", "input=in.txt"]) == 2
    assert "bare: has no tokenizer (no tokenizer.json, vocab.txt …); copy those files beside" in capfd.readouterr().err


def test_weights_that_are_not_finite_answer_nothing(trained, here, capfd):
    weights = copy_of(trained, here / "damaged") / "model.safetensors"
    tensors = load_file(weights)
    tensors["classifier.weight"][0, 0] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    Path("in.txt").write_text("a\n")
    assert dispatch(["predict", "model_dir=damaged", "input=in.txt", "output=out.csv"]) != 0
    said = capfd.readouterr().err
    assert ("finite" in said or "nan" in said.lower()) and not Path("out.csv").exists()


def test_a_model_that_answers_pairs_takes_no_single_texts(trained, here, capfd):
    task = json.loads((copy_of(trained, here / "pair") / "task.json").read_text())
    task["task"]["text_columns"] = ["premise", "hypothesis"]
    Path("pair/task.json").write_text(json.dumps(task))
    Path("in.txt").write_text("a\n")
    assert dispatch(["predict", "model_dir=pair", "input=in.txt"]) == 2
    assert "lines hold one text each, and the model answers pairs (premise, hypothesis)" in capfd.readouterr().err
    Path("in.csv").write_text("premise,text\na,b\n")
    assert dispatch(["predict", "model_dir=pair", "input=in.csv"]) == 2
    assert "in.csv has no column 'hypothesis'" in capfd.readouterr().err


def test_a_model_that_does_not_know_its_columns_is_not_guessed_for(trained, here, capfd):
    copy_of(trained, here / "foreign", "task*.json")
    Path("in.csv").write_text("title,body\na,b\n")
    assert dispatch(["predict", "model_dir=foreign", "input=in.csv", "output=out.csv"]) == 2
    assert "it cannot be told which of them hold the texts" in capfd.readouterr().err
    assert dispatch(["predict", "model_dir=foreign", "input=in.csv", "output=out.csv", "text_columns=[title]"]) == 0


def test_int8_of_openvino_is_calibrated_on_training_texts_or_refused(trained, here, capfd, monkeypatch):
    """Never on what is to be answered: one row would decide its own scales."""
    Path("in.txt").write_text("a\n")
    copy_of(trained, here / "foreign", "task.local.json")
    own = ["input=in.txt", "engine=openvino", "precision=int8"]
    assert dispatch(["predict", "model_dir=foreign", *own]) == 2
    said = capfd.readouterr().err
    assert "is calibrated on training texts" in said and "model_dir=foreign task.data_dir=FOLDER" in said
    given = {}

    def caught(engine, name, model, precision, place):
        given["inputs"] = place.inputs
        return model

    monkeypatch.setattr("powerbert_cli.answering.predictor.runner", caught)
    monkeypatch.chdir(trained)
    assert predicted(trained, f"input={here}/in.txt", *own[1:]) == 0
    assert len(given["inputs"]) == 64 and given["inputs"][0]["input_ids"].shape[0] == 1


def test_other_folders_are_called_what_they_are(trained, here, capfd):
    copy_of(trained, here / "exported", "*.safetensors")
    Path("exported/export.json").write_text("{}")
    Path("adapter").mkdir()
    Path("adapter/adapter_config.json").write_text("{}")
    Path("in.txt").write_text("a\n")
    for folder, message in (
        ("exported", "export.json: is not as powerbert export writes it"),
        ("adapter", "it holds a PEFT adapter, without the model; merge it"),
        (trained / "plain", f"no config.json in it, but in {trained / 'plain' / 'model'}"),
    ):
        assert dispatch(["predict", f"model_dir={folder}", "input=in.txt"]) == 2
        assert message in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["plain", "short"])
def test_the_code_of_a_model_card_loads_the_model(trained, kind, monkeypatch):
    found = run_card(trained / kind / "model", monkeypatch)
    assert found["model"](**found["tokenizer"]("a b c", return_tensors="pt")).logits.shape == (1, 2)


def test_it_leaves_no_page_where_it_is_run(trained, monkeypatch, tmp_path):
    (tmp_path / "config.yaml").write_text("not: ours")
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("a b\n")
    assert dispatch(["predict", f"model_dir={trained}/plain/model", "input=texts.txt", "output=answers.tsv"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "texts.txt", "answers.tsv"}


def test_a_full_disk_names_the_output_and_the_way_out(trained, monkeypatch, tmp_path, capfd):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("powerbert_cli.answering.predict.predict", full)
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("a b\n")
    assert dispatch(["predict", f"model_dir={trained}/plain/model", "input=texts.txt", "output=answers.tsv"]) == 2
    said = capfd.readouterr().err
    assert "output=answers.tsv: cannot write: No space left on device" in said and "set output=FILE" in said
