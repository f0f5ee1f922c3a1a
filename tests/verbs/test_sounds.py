"""Clips of sound through whole commands, in this process, with a tiny Wav2Vec2."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import HEARD, WAV2VEC2, run_card
from transformers import Wav2Vec2Processor, pipeline

from powerbert_cli import PowerBertForAudioClassification, PowerBertForCTC
from powerbert_cli.cli import dispatch
from powerbert_cli.kinds.sounds import decoded, wav_of
from powerbert_cli.tasks.synthetic_sounds import CLASSES, RATE, classes, spoken

HOW = [*WAV2VEC2, "epochs=1", "batch_size=8", "runtime.log_seconds=60"]
SHORT = ["retention.lengths=[12,5]", "retrain.distill=0.5"]
pytest.importorskip("jiwer")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Finished stages of finetune and retrain, of classes and of letters: TASK/VERB."""
    folder = tmp_path_factory.mktemp("sounds")
    for name, task in HEARD.items():
        for verb, own in (("finetune", []), ("retrain", SHORT)):
            where = [f"output_dir={folder}", f"hydra.run.dir={folder}/{name}/{verb}"]
            assert dispatch([verb, *task, *HOW, *own, *where]) == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, outputs):
    """A folder with finished stages, and in asked/ clips of either task."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(outputs / "stages", tmp_path / "outputs/stages")
    for name, clips in (("audio", classes(4, 5, 300)), ("speech", spoken(4, 5, 3))):
        (tmp_path / "asked" / name).mkdir(parents=True)
        for i, (content, _) in enumerate(clips):
            (tmp_path / "asked" / name / f"{i}.wav").write_bytes(content)
    return tmp_path


def clip(path):
    return decoded(Path(path).read_bytes()).values


def test_plain_models_are_ones_for_transformers_pipelines(here, outputs):
    model = outputs / "audio/finetune/model"
    found = pipeline("audio-classification", model=str(model))(clip("asked/audio/0.wav"))
    assert {one["label"] for one in found} == set(CLASSES)
    model = outputs / "speech/finetune/model"
    own = Wav2Vec2Processor.from_pretrained(model)
    assert set(own.tokenizer.get_vocab()) == {"<pad>", "<unk>", "|", *"aeinst"}
    assert "text" in pipeline("automatic-speech-recognition", model=str(model))(clip("asked/speech/0.wav"))
    about = json.loads((model / "config.json").read_text())
    assert about["vocab_size"] == 9 and about["architectures"] == ["Wav2Vec2ForCTC"]


@pytest.mark.parametrize("verb", ["finetune", "retrain"])
def test_answers_of_clips_are_those_of_the_pipeline(here, outputs, verb):
    model = outputs / "audio" / verb / "model"
    assert dispatch(["predict", f"model_dir={model}", "input=asked/audio", "output=answers.csv"]) == 0
    answers = pd.read_csv("answers.csv")
    assert list(answers["file"]) == [f"asked/audio/{i}.wav" for i in range(4)]
    given = {"model": str(model)}
    if verb == "retrain":
        from transformers import AutoFeatureExtractor

        loaded = PowerBertForAudioClassification.from_pretrained(model)
        given = {"model": loaded, "feature_extractor": AutoFeatureExtractor.from_pretrained(model)}
    classify = pipeline("audio-classification", **given)
    for row in answers.to_dict("records"):
        for one in classify(clip(row["file"])):
            assert row[f"probability_{one['label']}"] == pytest.approx(one["score"], abs=1e-4)


@pytest.mark.parametrize("verb", ["finetune", "retrain"])
def test_texts_of_clips_are_those_of_the_pipeline(here, outputs, verb):
    """Whatever form the input has."""
    model = outputs / "speech" / verb / "model"
    Path("asked/list.csv").write_text("audio,number\n" + "".join(f"speech/{i}.wav,{i}\n" for i in range(4)))
    Path("list.txt").write_text("".join(f"asked/speech/{i}.wav\n" for i in range(4)))
    found = []
    for given in ("asked/speech", "asked/list.csv", "list.txt"):
        assert dispatch(["predict", f"model_dir={model}", f"input={given}", "output=out.csv"]) == 0
        found.append(pd.read_csv("out.csv", keep_default_na=False))
    assert list(found[0]["file"]) == list(found[2]["file"]) and list(found[1]["number"]) == [*range(4)]
    assert list(found[0]["transcription"]) == list(found[1]["transcription"]) == list(found[2]["transcription"])
    own = Wav2Vec2Processor.from_pretrained(model)
    loaded = PowerBertForCTC.from_pretrained(model) if verb == "retrain" else str(model)
    parts = {"tokenizer": own.tokenizer, "feature_extractor": own.feature_extractor}
    listen = pipeline("automatic-speech-recognition", model=loaded, **parts)
    assert [listen(clip(file))["text"] for file in found[0]["file"]] == list(found[0]["transcription"])


def test_one_file_to_standard_output(here, outputs, capfd):
    capfd.readouterr()
    assert dispatch(["predict", f"model_dir={outputs / 'audio/retrain/model'}", "input=asked/audio/1.wav"]) == 0
    file, label, *_ = capfd.readouterr().out.split("\t")
    assert file == "asked/audio/1.wav" and label in CLASSES


def test_bad_and_long_clips_stop_or_are_passed_over(here, outputs, capfd):
    long = np.zeros(3 * RATE)
    Path("asked/speech/1.wav").write_bytes(wav_of(long, RATE))
    Path("asked/speech/2.wav").write_bytes(Path("asked/speech/2.wav").read_bytes()[:-100])
    asked = ["predict", f"model_dir={outputs / 'speech/retrain/model'}", "input=asked/speech", "output=out.csv"]
    assert dispatch(asked) == 2
    err = capfd.readouterr().err
    assert "asked/speech/1.wav is a clip of 148 frames (3.0 s), more than seq_len=60" in err and "Traceback" not in err
    assert dispatch([*asked, "predict.on_error=skip"]) == 0
    assert len(pd.read_csv("out.csv")) == 2
    assert "asked/speech/2.wav\tis a clip that was cut off" in Path("out.csv.errors.tsv").read_text()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["predict.survivors=true", "output=o.jsonl"], "follows words, and clips have none"),
        (["input=empty", "output=o.csv"], "no clips are in this folder (.wav"),
        (["predict.input_format=csv", "output=o.csv"], "a folder, which is read as clips and not as csv"),
    ],
)
def test_what_predict_refuses(here, outputs, capfd, args, said):
    Path("empty").mkdir()
    model = outputs / "audio/retrain/model"
    assert dispatch(["predict", f"model_dir={model}", "input=asked/audio", *args]) != 0
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([*HEARD["speech"][:-1], *WAV2VEC2, "seq_len=9"], "train-1.wav is a clip of"),
        (HEARD["audio"], "a model of type bert takes no sound; set model=wav2vec2-tiny"),
        (["task=synthetic", *WAV2VEC2], "a model of type wav2vec2 takes no texts"),
        (
            ["task=speech", *WAV2VEC2],
            "needs task.data_dir=FOLDER with your train/ and dev/ with clips and a metadata.csv",
        ),
        ([*HEARD["speech"], *WAV2VEC2, "task.metric=wer"], "set task.metric=word_accuracy, which is 1 - wer"),
    ],
)
def test_what_does_not_go_together_is_refused(here, capfd, args, said):
    assert dispatch(["finetune", *args]) != 0
    err = capfd.readouterr().err
    assert said in err and "Traceback" not in err


def test_own_speech_from_folders(here):
    """Of another rate; letters are those of the training transcripts."""
    for split, seed in (("train", 1), ("dev", 2)):
        place = here / "data" / split
        place.mkdir(parents=True)
        rows = ["file_name,transcription"]
        for i, (content, text) in enumerate(spoken(16, seed, 3)):
            (place / f"{i}.wav").write_bytes(wav_of(decoded(content).values[::2], RATE // 2))
            rows.append(f"{i}.wav,{text.upper()}")
        (place / "metadata.csv").write_text("\n".join(rows))
    assert dispatch(["finetune", "task=speech", "task.data_dir=data", *HOW, "hydra.run.dir=run"]) == 0
    said = Path("run/finetune.log").read_text()
    assert "of 16 clips 16 are resampled to 16000 Hz (from 8000 Hz)" in said
    assert "of the longest of the clips" in said
    assert set(json.loads(Path("run/model/vocab.json").read_text())) == {"<pad>", "<unk>", "|", *"AEINST"}
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["wer"] == pytest.approx(1 - metrics["value"]) and "cer" in metrics


@pytest.mark.parametrize("task", HEARD)
@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("search", ["searcher=calibrate", "target.flops=0.6"]),
        ("search", ["search.epochs=1"]),
        ("compress", ["compress.ffn=0.5"]),
        ("compress", ["compress.heads=0.5"]),
        ("check", []),
    ],
)
def test_other_verbs(here, task, verb, args):
    assert dispatch([verb, *HEARD[task], *HOW, *args, "hydra.run.dir=run"]) == 0


@pytest.mark.parametrize("task", HEARD)
def test_report_of_a_shortened_model(here, outputs, task):
    run = here / "run"
    shutil.copytree(outputs / task / "retrain", run)
    assert json.loads((run / "model/retention.json").read_text())["lengths"] == [12, 5]
    assert dispatch(["report", "run"]) == 0
    assert HEARD[task][0].removeprefix("task=") in (run / "report.html").read_text()


@pytest.mark.parametrize("task", HEARD)
@pytest.mark.parametrize("verb", ["finetune", "retrain"])
def test_the_code_of_a_model_card(here, outputs, monkeypatch, task, verb):
    model = outputs / task / verb / "model"
    shutil.copy(here / f"asked/{task}/0.wav", model / "CLIP.wav")
    found = run_card(model, monkeypatch)
    (model / "CLIP.wav").unlink()
    assert isinstance(found["text"], str) if task == "speech" else len(found["classes"]) == 3
