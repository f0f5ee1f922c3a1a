import datasets
import pytest
from transformers import AutoTokenizer

from powerbert_cli.kinds import KINDS
from powerbert_cli.tasks.tokenizing import build_tokenizer, nearest_seq_len, texts_of, tokenize


def test_built_vocabulary_knows_its_words_and_spells_others(tmp_path):
    tokenizer = build_tokenizer(["good good film", "bad film"], 100)
    assert tokenizer.tokenize("Good film") == ["good", "film"]
    assert tokenizer.tokenize("goodbad") == ["good", "##b", "##a", "##d"]
    assert tokenizer.unk_token not in tokenizer.tokenize("mild")
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("good film")["input_ids"] == tokenizer("good film")["input_ids"]


def test_a_vocabulary_is_built_from_all_texts():
    rows = datasets.Dataset.from_dict({"text": ["sun"], "text_pair": ["rain"], "choices": [["fog", "wind"]]})
    assert sorted(texts_of(rows)) == ["fog", "rain", "sun", "wind"]


def test_choices_are_paired_with_context_and_question():
    tokenizer = build_tokenizer(["sun rain fog wind is"], 100)
    rows = datasets.Dataset.from_dict(
        {"text": ["rain rain"], "text_pair": ["_ is"], "choices": [["sun", "fog wind"]], "label": [1]}
    )
    encoded = tokenize(rows, KINDS["multiple_choice"](None, "accuracy"), tokenizer, 16)[0]
    texts = [tokenizer.decode(ids) for ids in encoded["input_ids"]]
    assert texts == ["[CLS] rain rain [SEP] sun is [SEP]", "[CLS] rain rain [SEP] fog wind is [SEP]"]
    assert encoded["length"] == 8 and encoded["labels"] == 1


@pytest.mark.parametrize(("longest", "seq_len"), [(10, 64), (95, 64), (97, 128), (200, 256), (385, 512), (9999, 512)])
def test_seq_len_is_the_nearest_to_the_99th_percentile(longest, seq_len):
    assert nearest_seq_len([5] * 100 + [longest] * 10) == seq_len
    assert nearest_seq_len([5] * 9999 + [longest]) == 64  # fewer than 1% do not count


def test_pairs_are_cut_to_seq_len():
    tokenizer = build_tokenizer(["a b c d"], 100)
    rows = datasets.Dataset.from_dict({"text": ["a b c d", ""], "text_pair": ["a a a a", "b"], "label": [0, 1]})
    encoded = tokenize(rows, KINDS["classification"](None, "accuracy"), tokenizer, 8)
    assert encoded["length"][:] == [8, 4]
    assert encoded[0]["token_type_ids"].count(1) > 0
    assert encoded["labels"][:] == [0, 1]
