import json

import pytest
from hosts import described
from hypothesis import given
from hypothesis import strategies as st

from powerbert_cli.method.elimination import draw_random_order, to_keys
from powerbert_cli.store import retention_file
from powerbert_cli.store.retention_file import RetentionFile, RetentionFileError

GOOD = {"schema": "powerbert/retention", "version": 1, "lengths": [8, 5, 2], "seq_len": 16, "protected": 1}


def test_round_trip(tmp_path):
    elimination = described(
        (8, 5, 2), 16, "random", protected_tokens=(3,), random_order=draw_random_order(16, 1), diagonal=False
    )
    written = RetentionFile(
        elimination, task="rte", regularizer_weight=3e-4, masses=(7.5, 4.2, 1.1), provenance={"a": 1}
    )
    written.write(tmp_path / "retention.json")
    content = json.loads((tmp_path / "retention.json").read_text())
    assert content["lambda"] == 3e-4 and content["schema"] == "powerbert/retention"
    again = retention_file.read(tmp_path / "retention.json")
    assert (again.elimination, again.task, again.regularizer_weight) == (elimination, "rte", 3e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other"}, "is no retention configuration"),
        ({"version": 2}, "version 2 is not 1"),
        ({"lengths": [5, 8, 2]}, r"retention\[1\]=8 exceeds retention\[0\]=5"),
        ({"lengths": [17, 8, 2]}, r"retention\[0\]=17 exceeds seq_len=16"),
        ({"lengths": 7}, "lengths must be a list"),
        ({"lengths": [8, "5", 2]}, r"retention\[1\]='5' is not an integer"),
        ({"strategy": "best"}, "strategy='best' is none of attention"),
        ({"strategy": "random"}, "random_order must name each of the 16 positions once"),
        ({"strategy": "threshold"}, "needs one threshold for each layer"),
        ({"strategy": "threshold", "thresholds": [0.5, -1, 1]}, r"thresholds\[1\]=-1 must be a number"),
        ({"diagonal": "no"}, "diagonal='no' must be true or false"),
        ({"protected_tokens": "3"}, "protected_tokens must be a list"),
        ({"protected_until": "3"}, "protected_until='3' must be an integer"),
        ({"seq_len": "16"}, "seq_len='16'"),
        ({"seq_len": True}, "seq_len=True"),
    ],
)
def test_foreign_or_damaged(tmp_path, change, message):
    path = tmp_path / "retention.json"
    path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(RetentionFileError, match=message):
        retention_file.read(path)


KEYS = ["lengths", "seq_len", "protected", "schema", "version", "strategy", "diagonal", "protected_tokens"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(
    json_values,
    json_values,
    st.sampled_from(KEYS),
)
def test_nothing_but_our_error_comes_out(tmp_path_factory, whole, value, key):
    folder = tmp_path_factory.mktemp("fuzz")
    for i, content in enumerate((whole, {**GOOD, key: value})):
        path = folder / f"{i}.json"
        path.write_text(json.dumps(content))
        try:
            found = retention_file.read(path)
        except RetentionFileError:
            continue
        lengths = found.configuration
        assert i == 1 and found.elimination.seq_len >= lengths[0] >= lengths[-1] >= 1


def test_an_unknown_key_is_named(tmp_path, caplog):
    path = tmp_path / "retention.json"
    RetentionFile(described((8, 5, 2), 16, "merge", protected_until=9), task="rte", masses=(1.0, 1.0, 1.0)).write(path)
    retention_file.read(path)
    assert not caplog.text
    path.write_text(json.dumps({**json.loads(path.read_text()), "protected_untill": 3}))
    assert retention_file.read(path).elimination.protected_until == 9
    assert "unknown key 'protected_untill' is ignored (did you mean 'protected_until'?)" in caplog.text


def test_a_file_of_earlier_merging_is_told_apart(tmp_path, caplog):
    """Its identity too: a stage that merged otherwise is not used again."""
    path, found = tmp_path / "retention.json", described((3, 2), 4, "merge")
    RetentionFile(found).write(path)
    assert retention_file.read(path).elimination == found and not caplog.text
    content = json.loads(path.read_text())
    assert content.pop("merging") == "proportional"
    path.write_text(json.dumps(content))
    assert retention_file.read(path).elimination == found
    assert "re-train it" in caplog.text
    assert "merging" not in to_keys(described((3, 2), 4))
