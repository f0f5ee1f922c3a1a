"""What a model spells: letters, their errors, and clips that are made up."""

import datasets
import numpy as np
import pytest
from clips import processor
from transformers import Wav2Vec2Processor

from powerbert_cli.kinds.sounds import decoded
from powerbert_cli.kinds.speech_recognition import SpeechRecognition
from powerbert_cli.kinds.spelling import Spelling, frames_needed
from powerbert_cli.tasks.metrics import METRICS, all_scores, interval
from powerbert_cli.tasks.synthetic_sounds import CLASSES, LETTERS, RATE, classes, spoken

SPEECH = SpeechRecognition(None, "word_accuracy")
SPELLING = Spelling(("<pad>", "<unk>", "|", "a", "b", "<s>"), 0, 2, 1, (5,))


def test_best_letters_by_hand(tmp_path):
    """a a _ a | | b _ b: repeats are one letter, and a blank between equal ones keeps both."""
    best = [3, 3, 0, 3, 2, 2, 4, 0, 4, 5, 1]
    assert SPELLING.text(best) == "aa bb" and SPELLING.text([0, 2, 2, 0]) == "" and SPELLING.text([]) == ""
    made = processor()
    made.save_pretrained(tmp_path)
    own = Wav2Vec2Processor.from_pretrained(tmp_path)
    assert made.spelling.text(best[:9]) == own.tokenizer.decode(best[:9])
    assert SPELLING.numbers("ab ?") == [3, 4, 2, 1] and Spelling.read(SPELLING.written) == SPELLING
    assert frames_needed([3, 3, 4]) == 4 and frames_needed([]) == 0


def test_transcripts_take_the_case_of_the_letters():
    upper = Spelling(("<pad>", "|", "A", "'"), 0, 1, None)
    assert upper.in_case("a'A") == "A'A" and upper.numbers("aäa") == [2, 2] and upper.missing("aä") == "Ä"
    assert SPELLING.in_case("AB") == "ab" and Spelling(("<pad>", "a", "B"), 0, None, None).in_case("aB") == "aB"


def test_predictions_are_of_a_rows_own_frames():
    logits = np.full((2, 4, 6), -100.0)  # as transformers fills up
    for row, letters in enumerate(([3, 0, 3, 2], [4])):
        logits[row, np.arange(len(letters)), letters] = 1.0
    logits[1, 2, 3] = 5.0  # beyond the row's end
    tokens = datasets.Dataset.from_dict({"length": [4, 1], "spelling": [SPELLING.written] * 2, "text": ["aa", "b a"]})
    assert SPEECH.predictions(logits, tokens).tolist() == ["aa", "b"]
    assert SPEECH.labels(tokens).tolist() == ["aa", "b a"]
    assert SPEECH.answers(list(logits), list(tokens), []) == [{"transcription": "aa"}, {"transcription": "b"}]
    assert SPEECH.batched([[3], [3, 4]], 9) == [[3, -100], [3, 4]]


def test_errors_counted_by_hand():
    """x is inserted and d is taken for b … or the like: 2 errors in 3 words."""
    pytest.importorskip("jiwer")
    true, said = np.array(["a b c"], dtype=object), np.array(["a x c d"], dtype=object)
    assert METRICS["wer"](true, said) == pytest.approx(2 / 3)
    assert METRICS["word_accuracy"](true, said) == pytest.approx(1 / 3)
    assert METRICS["cer"](true, said) == pytest.approx(3 / 5)
    true, said = np.array(["a b c", "d", ""], dtype=object), np.array(["a b c", "", "e e"], dtype=object)
    assert METRICS["wer"](true, said) == pytest.approx(3 / 4)  # over all words, not a mean over clips
    assert list(all_scores("word_accuracy", true, said)) == ["word_accuracy", "wer", "cer"]
    low, high = interval("word_accuracy", true, said)
    assert low <= 1 / 4 <= high


def test_generated_clips():
    found = list(classes(30, 3, 300))
    assert found == list(classes(30, 3, 300)) and found != list(classes(30, 4, 300))
    assert {label for _, label in found} == {0, 1, 2} and len(CLASSES) == 3
    assert all(0.15 <= len(decoded(clip).values) / RATE <= 0.3 for clip, _ in found)
    letters = list(spoken(30, 3, 6))
    assert letters == list(spoken(30, 3, 6)) and all(set(text) <= {*LETTERS, " "} for _, text in letters)
    assert all(1 <= len(text.replace(" ", "")) <= 6 and " ".join(text.split()) == text for _, text in letters)
    made = processor(transcripts=[text for _, text in letters])
    rows = datasets.Dataset.from_list([{"audio": clip, "label": text, "file": ""} for clip, text in letters])
    SPEECH.check_learnable(rows, made)
