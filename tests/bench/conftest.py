import pytest


@pytest.fixture
def rows():
    return [{"input_ids": [2] * n, "attention_mask": [1] * n, "labels": 0, "length": n} for n in (4, 9, 2, 16)]


@pytest.fixture
def place(tmp_path):
    from powerbert_cli.bench.place import Place  # after `once`, also where this folder alone is tested

    return Place("cpu", 1, tmp_path)
