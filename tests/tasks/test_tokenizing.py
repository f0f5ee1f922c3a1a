import datasets
from transformers import AutoTokenizer

from powerbert_cli.tasks.tokenizing import build_tokenizer, tokenize


def test_built_vocabulary_knows_its_words_and_spells_others(tmp_path):
    tokenizer = build_tokenizer(["good good film", "bad film"], 100)
    assert tokenizer.tokenize("Good film") == ["good", "film"]
    assert tokenizer.tokenize("goodbad") == ["good", "##b", "##a", "##d"]
    assert tokenizer.unk_token not in tokenizer.tokenize("mild")
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("good film")["input_ids"] == tokenizer("good film")["input_ids"]


def test_pairs_are_cut_to_seq_len():
    tokenizer = build_tokenizer(["a b c d"], 100)
    rows = datasets.Dataset.from_dict({"text": ["a b c d", ""], "text_pair": ["a a a a", "b"], "label": [0, 1]})
    encoded = tokenize(rows, tokenizer, 8)
    assert encoded["length"][:] == [8, 4]
    assert encoded[0]["token_type_ids"].count(1) > 0
    assert encoded["labels"][:] == [0, 1]
