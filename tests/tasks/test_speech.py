"""Clips as rows: what is read of people's files, what is refused, what a model is given."""

import json

import datasets
import numpy as np
import pytest
import torch
from clips import HEARS, MODEL, SPELLS, config, pcm, processor, rows_of, tone
from custom import task
from transformers import BertConfig, Wav2Vec2Processor

from powerbert_cli.kinds.audio_classification import AudioClassification
from powerbert_cli.kinds.sounds import decoded
from powerbert_cli.kinds.speech_recognition import SpeechRecognition
from powerbert_cli.kinds.values import RowError
from powerbert_cli.models.weights import ModelError
from powerbert_cli.settings import SettingsError
from powerbert_cli.tasks.batch import lengths_in
from powerbert_cli.tasks.batches import bucket, make_batches
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.tasks.sources import load_task
from powerbert_cli.tasks.synthetic_sounds import RATE
from powerbert_cli.tasks.tokenizing import tokenize

KIND, SPEECH = AudioClassification(["high", "low"], "accuracy"), SpeechRecognition(None, "word_accuracy")


# folders


@pytest.fixture
def folder(tmp_path):
    """train/ and dev/ with three clips of each of two classes."""
    for split in ("train", "dev"):
        for name, height in (("high", 900.0), ("low", 200.0)):
            place = tmp_path / split / name
            place.mkdir(parents=True)
            for i in range(3):
                (place / f"{i}.wav").write_bytes(pcm(tone(0.2 + 0.1 * i, height), 2))
    return tmp_path


@pytest.fixture
def said(tmp_path):
    """train/ and dev/ with two clips each, and a table of what is said."""
    for split in ("train", "dev"):
        (tmp_path / split).mkdir()
        for i in range(2):
            (tmp_path / split / f"{i}.wav").write_bytes(pcm(tone(0.3), 2))
        (tmp_path / split / "metadata.csv").write_text("file_name,transcription\n0.wav,ab a\n1.wav,  b   a \n")
    return tmp_path


def read(folder, **changes):
    own = {"kind": "audio_classification", "text_columns": ["audio"], "label_names": ["high", "low"]}
    return load_task(task(folder, **{**own, **changes}))


def heard(folder, **changes):
    own = {"kind": "speech_recognition", "text_columns": ["file_name"], "label_names": None, "metric": "word_accuracy"}
    return read(folder, **{**own, "label_column": "transcription", **changes})


def test_folders_of_classes(folder):
    data = read(folder)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and not data.held_back
    assert data.train.rows[4]["audio"] == (folder / "train/low/1.wav").read_bytes()
    assert data.train.rows[4]["file"] == "1.wav"


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_transcripts(said, ending):
    found = heard(said)
    assert found.train.rows["label"][:] == ["ab a", "b a"] and found.train.rows["file"][:] == ["0.wav", "1.wav"]
    (said / "train/metadata.csv").unlink()
    rows = [{"file_name": f"{i}.wav", "text": text} for i, text in enumerate(("ab a", "b a"))]
    path = said / "train" / f"metadata.{ending}"
    if ending == "parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    elif ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        mark = "," if ending == "csv" else "\t"
        path.write_text("\n".join(mark.join(row) for row in (rows[0], *(row.values() for row in rows))))
    assert heard(said).train.content == found.train.content


def test_a_table_may_stand_beside_the_splits(said):
    (said / "train.csv").write_text("file_name,transcription\ntrain/1.wav,a\n")
    (said / "dev.jsonl").write_text(json.dumps({"file_name": str(said / "dev/0.wav"), "transcription": "b"}))
    data = heard(said)
    assert data.train.rows["file"][:] == ["1.wav"] and data.dev.rows["label"][:] == ["b"]


@pytest.mark.parametrize("beside", [False, True])
def test_a_clip_that_is_recorded_again_is_read_again(said, beside):
    if beside:
        (said / "train/metadata.csv").unlink()
        (said / "train.csv").write_text("file_name,transcription\ntrain/0.wav,a\n")
        (said / "dev.csv").write_text("file_name,transcription\ndev/0.wav,b\n")
    before = heard(said)
    (said / "train/0.wav").write_bytes(pcm(tone(0.4), 2))
    after = heard(said)
    assert after.train.rows["audio"][0] == (said / "train/0.wav").read_bytes()
    assert after.train.content != before.train.content and after.dev.content == before.dev.content


def test_names_that_are_no_paths(said):
    (said / "train/0.wav").rename(said / "train/~0.wav")
    (said / "train/metadata.csv").write_text("file_name,transcription\n~0.wav,a\n")
    assert heard(said).train.rows["file"][:] == ["~0.wav"]
    (said / "train/metadata.csv").write_text(f"file_name,transcription\n{'a' * 300}.wav,a\n")
    with pytest.raises(DataError, match="which cannot be read: File name too long"):
        heard(said)


def test_a_table_of_classes(folder):
    for split in ("train", "dev"):
        rows = "".join(f"{name}/{i}.wav,{name}\n" for name in ("low", "high") for i in range(3))
        (folder / split / "metadata.csv").write_text(f"file_name,label\n{rows}")
    assert read(folder, text_columns=["file_name"]).train.labels.tolist() == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: (f / "train/1.wav").write_bytes(b"x" * 50), r"metadata.csv: row 2 \(line 3\) is no "),
        (lambda f: (f / "train/1.wav").write_bytes(b""), r"row 2 \(line 3\) has an empty file"),
        (lambda f: (f / "train/1.wav").unlink(), "1.wav' as 'file_name', which cannot be read: No such file"),
        (lambda f: (f / "train/metadata.tsv").write_text("file_name\n"), "several tables"),
        (lambda f: (f / "train/metadata.csv").write_text("file_name,said\n0.wav,a\n"), "no column 'transcription'"),
        (lambda f: (f / "train/metadata.csv").write_text("file_name,text\n0.wav,a|b\n"), "stands for the space"),
        (lambda f: (f / "train/metadata.csv").unlink(), "has no metadata.csv .* columns file_name and transcripti"),
        (lambda f: (f / "dev/metadata.csv").write_text("file_name,text\n0.wav,\n"), "none of 1 transcripts has a word"),
    ],
)
def test_what_is_wrong_is_named(said, make, message):
    make(said)
    with pytest.raises(DataError, match=message):
        heard(said)


# what a model is given


def test_frames_are_those_that_the_model_makes():
    made = processor()
    from transformers import Wav2Vec2Model

    own = Wav2Vec2Model(config(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=16))
    for samples in (660, 979, 980, 4000):
        wanted = own.feature_extractor(torch.zeros(1, samples)).shape[-1]
        assert made.frames(samples) == wanted and made.samples_for(wanted) <= samples < made.samples_for(wanted + 1)
    assert made.frames(7) == 1  # is filled up


def test_batches_are_those_of_the_saved_processor(folder, tmp_path):
    made = processor("hears")
    made.save_pretrained(tmp_path / "saved")
    rows = tokenize(read(folder).train.rows, KIND, made, None)
    lengths = [made.frames(samples) for samples in (3200, 4800, 6400)] * 2
    assert rows["length"][:] == lengths and rows["labels"][:] == [0, 0, 0, 1, 1, 1]
    few = [rows[2], rows[0]]
    (batch,) = make_batches(few, "longest", 4, KIND.collator(made), "cpu", seq_len=64)
    own = HEARS.load(str(tmp_path / "saved"), "").extractor
    wanted = own([decoded(row["audio"]).values for row in few], sampling_rate=RATE, padding=True, return_tensors="pt")
    assert torch.equal(batch["input_values"], wanted["input_values"]) and batch["input_values"].shape == (2, 6400)
    assert torch.equal(batch["attention_mask"], wanted["attention_mask"]) and lengths_in(batch) == [
        lengths[2],
        lengths[0],
    ]
    assert HEARS.digest(HEARS.fit(HEARS.load(str(tmp_path / "saved"), ""), config(), "x")) == HEARS.digest(made)
    assert "labels" in KIND.collator(made)(few)


def test_long_clips_are_cut_and_short_ones_filled_up(folder):
    (folder / "train/high/0.wav").write_bytes(pcm(tone(0.001), 2))
    made = processor("hears")
    rows = tokenize(read(folder).train.rows, KIND, made, 10)
    assert rows["length"][:] == [1, 10, 10, 8, 10, 10] and rows["samples"][1] == made.samples_for(10)
    padded = KIND.collator(made, padding="max_length", max_length=10)([rows[0]])["input_values"]
    assert padded.shape == (1, made.samples_for(11) - 1) and made.frames(padded.shape[1]) == 10


def test_an_engine_that_compiles_for_each_length_is_given_few_and_none_beyond_seq_len(folder):
    made = processor("hears")
    rows = list(tokenize(read(folder).train.rows, KIND, made, None))
    shapes = {
        most: make_batches([row], "longest", 1, KIND.collator(made), "cpu", seq_len=most, buckets=2)[0]
        for row, most in ((rows[1], 1 << 20), (rows[2], rows[2]["length"]))
    }
    frames = {most: made.frames(batch["input_values"].shape[1]) for most, batch in shapes.items()}
    assert frames == {1 << 20: bucket(rows[1]["length"], 2), rows[2]["length"]: rows[2]["length"]}
    assert bucket(rows[1]["length"], 2) > rows[1]["length"]


def test_one_line_says_what_is_resampled(folder):
    (folder / "train/high/0.wav").write_bytes(pcm(tone(rate=8000), 2, rate=8000))
    (folder / "train/high/1.wav").write_bytes(pcm(np.repeat(tone(), 2), 2, channels=2))
    made = processor("hears")
    rows = tokenize(read(folder).train.rows, KIND, made, None)
    assert rows["samples"][:2] == [4800, 4800]
    wanted = "of 6 clips 1 are resampled to 16000 Hz (from 8000 Hz) and 1 of several channels are mixed to one"
    assert KIND.about(rows, made) == wanted and KIND.about(rows.select([2, 3]), made) is None


def test_a_clip_that_is_too_long_is_refused_where_words_would_be_lost(said):
    with pytest.raises(DataError, match=r"0.wav is a clip of 13 frames \(0.28 s\), more than seq_len=5 \(0.12 s\)"):
        tokenize(heard(said).train.rows, SPEECH, processor(), 5)
    row = {"audio": pcm(tone(), 2), "file": ""}
    assert "more than seq_len=5" in SPEECH.refused(row, processor(), 5) and SPEECH.refused(row, processor(), 14) is None


@pytest.mark.parametrize(
    ("transcripts", "message"),
    [
        (("ab a", "b c"), "1.wav has the transcript 'b c', and the model has no letter for 'c' .its letters: ab"),
        (("ab a", "abab " * 4 + "aa"), r"fewer frames than the transcript needs.* in 1 of 2 clips.*1.wav \(23 of 13\)"),
    ],
)
def test_transcripts_that_cannot_be_learnt(said, transcripts, message):
    rows = heard(said).train.rows.remove_columns("label").add_column("label", list(transcripts))
    with pytest.raises(RowError, match=message):
        SPEECH.check_learnable(rows, processor())
    dev = rows_of("ab", "bcc")
    assert "'c' in 1" in SPEECH.unlearnt(dev, processor()) and SPEECH.unlearnt(rows_of("ab"), processor()) is None


def test_a_model_of_texts_takes_no_sound():
    with pytest.raises(ModelError, match="a model of type bert takes no sound; set model=wav2vec2-tiny"):
        HEARS.check_takes(BertConfig(), "x")


def test_letters_are_saved_beside_the_model(tmp_path):
    made = processor(transcripts=("ab a", "É b"))
    made.save_pretrained(tmp_path)
    own = Wav2Vec2Processor.from_pretrained(tmp_path)
    assert own.tokenizer.get_vocab() == {"<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4, "É": 5}
    assert SPELLS.entries(made, MODEL)["vocab_size"] == 6 and SPELLS.entries(made, MODEL)["pad_token_id"] == 0
    loaded = SPELLS.fit(SPELLS.load(str(tmp_path), ""), config(), "x")
    assert loaded.spelling == made.spelling and SPELLS.digest(loaded) == SPELLS.digest(made)
    assert own.tokenizer("ab É").input_ids == made.spelling.numbers("ab É")
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(ModelError, match="has no letters"):
        SPELLS.fit(SPELLS.load(str(tmp_path), ""), config(), "x")
    assert SPELLS.completed(SPELLS.load(str(tmp_path), ""), lambda: rows_of("x")).spelling.letters[-1] == "x"


def test_errors_are_no_headline(tmp_path):
    with pytest.raises(SettingsError, match="set task.metric=word_accuracy, which is 1 - wer"):
        heard(tmp_path, metric="wer")
