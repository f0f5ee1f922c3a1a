"""Layers really removed, in every family."""

import copy

import pytest
import torch
from hosts import FAMILIES, make_host
from transformers import AutoModelForSequenceClassification

from powerbert_cli.compress.layers import patient_states, taken
from powerbert_cli.encoder.families import layers_of
from powerbert_cli.encoder.removing import NotRemovable, host_of_sizes, keep_layers
from powerbert_cli.models.model_dir import save_model_dir
from powerbert_cli.tasks.tokenizing import build_tokenizer


def test_which_layers():
    """The published tables of twelve layers; of others from the first to the last."""
    assert taken(12, 6, "even") == (0, 2, 4, 7, 9, 11)
    assert taken(12, 4, "even") == (0, 4, 8, 11)
    assert taken(12, 3, "even") == (0, 6, 11)
    assert taken(12, 3, "first") == (0, 1, 2) and taken(6, 1, "even") == (0,)
    for layers in range(1, 25):
        for keep in range(1, layers + 1):
            found = taken(layers, keep, "even")
            assert len(set(found)) == keep and sorted(found) == list(found) and found[0] == 0
            assert keep == 1 or found[-1] == layers - 1


def last_hidden(host, batch):
    return host.eval().base_model(**batch).last_hidden_state


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_layers_give_what_they_gave_in_the_whole_model(family, batch):
    host = make_host(family, **({"num_hidden_groups": 1} if family == "albert" else {}))
    states = host.eval().base_model(**batch, output_hidden_states=True).hidden_states
    cut = copy.deepcopy(host)
    keep_layers(cut, (0, 1))
    wanted = states[2] if family != "modernbert" else host.model.final_norm(states[2])
    real = batch["attention_mask"].bool()
    assert layers_of(cut.config) == 2
    assert torch.allclose(last_hidden(cut, batch)[real], wanted[real], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_plain_transformers_loads_what_is_left(family, batch, tmp_path):
    host = make_host(family, **({"num_hidden_groups": 1} if family == "albert" else {}))
    before = host.num_parameters()
    keep_layers(host, (0, 2))
    save_model_dir(tmp_path, host, build_tokenizer(["a"], 50))
    loaded, found = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not found["missing_keys"] and not found["unexpected_keys"]
    assert torch.allclose(loaded.eval()(**batch).logits, host.eval()(**batch).logits, atol=1e-6)
    assert (loaded.num_parameters() < before) == (family != "albert")
    whole = host_of_sizes(loaded, 3, getattr(loaded.config, "intermediate_size", None) or loaded.config.hidden_dim)
    assert whole.num_parameters() == before and layers_of(whole.config) == 3


def test_layers_of_several_groups_are_refused():
    with pytest.raises(NotRemovable, match="of several groups"):
        keep_layers(make_host("albert"), (0, 1))


def test_the_layers_that_a_patient_student_imitates():
    """As published for twelve layers."""
    assert patient_states(12, 6, "skip") == (2, 4, 6, 8, 10) and patient_states(12, 6, "last") == (7, 8, 9, 10, 11)
    assert patient_states(12, 3, "skip") == (4, 8) and patient_states(12, 3, "last") == (10, 11)
    assert patient_states(6, 6, "skip") == patient_states(6, 6, "last") == (1, 2, 3, 4, 5)
    assert patient_states(12, 1, "last") == ()
