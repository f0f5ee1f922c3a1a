"""Small classifiers with random weights that many tests share."""

import torch
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    AutoModelForCTC,
    AutoModelForImageClassification,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Elimination, from_keys
from powerbert_cli.method.retention import Lengths

# far from uniform attention, so that selections are clear
SMALL = {"vocab_size": 100, "initializer_range": 0.3, "problem_type": "single_label_classification"}
SIZES = {"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
AFTER_PADDING = {"max_position_embeddings": 34, "pad_token_id": 1, "type_vocab_size": 2}
FAMILIES = {
    "albert": {**SIZES, "embedding_size": 16, "num_hidden_groups": 2, "inner_group_num": 1},
    "bert": SIZES,
    "distilbert": {"n_layers": 3, "dim": 32, "n_heads": 4, "hidden_dim": 64},
    "electra": {**SIZES, "embedding_size": 16},
    "modernbert": {
        **SIZES,
        "local_attention": 8,
        "global_attn_every_n_layers": 3,
        "initializer_cutoff_factor": 2.0,
        "pad_token_id": 1,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    "mpnet": {**SIZES, **AFTER_PADDING},
    "roberta": {**SIZES, **AFTER_PADDING},
    "xlm-roberta": {**SIZES, **AFTER_PADDING},
}


# models of pictures (17 or 18 patches and tokens) and of sound
PATCHED = {**SIZES, "image_size": 16, "patch_size": 4}
HEARD = {
    **SIZES,
    "conv_dim": (16, 16),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer",
    "classifier_proj_size": 8,
    "pad_token_id": 0,
    "mask_time_prob": 0.0,
}
SIGNALS = {
    "vit": ("vit", PATCHED, AutoModelForImageClassification),
    "deit": ("deit", {**PATCHED, "architectures": ["DeiTForImageClassification"]}, AutoModelForImageClassification),
    "wav2vec2": ("wav2vec2", HEARD, AutoModelForAudioClassification),
    "wav2vec2, norms lead": ("wav2vec2", {**HEARD, "do_stable_layer_norm": True}, AutoModelForAudioClassification),
    "wav2vec2, letters": ("wav2vec2", {**HEARD, "do_stable_layer_norm": True}, AutoModelForCTC),
    "hubert, letters": ("hubert", HEARD, AutoModelForCTC),
}


def make_signal_host(name: str, **changes: object) -> PreTrainedModel:
    """A small model of pictures or of sound."""
    family, sizes, auto = SIGNALS[name]
    host = make_host(family, auto=auto, **{**sizes, "max_position_embeddings": None, "problem_type": None, **changes})
    if family in ("vit", "deit"):
        with torch.no_grad():
            torch.nn.init.normal_(host.base_model.embeddings.position_embeddings)
    return host


def make_host(
    family: str = "bert", attention: str = "sdpa", choice: bool = False, auto: type | None = None, **changes: object
) -> PreTrainedModel:
    """A small classifier of a family with random weights, or another model that `auto` makes; in evaluation mode."""
    torch.manual_seed(0)
    options = {"max_position_embeddings": 32, **SMALL, **FAMILIES.get(family, {}), **changes}
    auto = auto or (AutoModelForMultipleChoice if choice else AutoModelForSequenceClassification)
    config = AutoConfig.for_model(family, **options)
    if family == "mpnet":
        attention = "eager"  # transformers has no other for it
    host = auto.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():  # biases and norms start at 0 and 1, where an error in them could not be seen
        for parameter in host.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return host


def described(lengths, seq_len, strategy="attention", thresholds=None, layers=3, **keys) -> Elimination:
    """An elimination by the keys of a retention.json; without a configuration it keeps everything."""
    given = {"lengths": lengths, "thresholds": thresholds, **keys}
    if strategy == "threshold":
        given["lengths"] = None
    found = not any(given.get(name) for name in ("lengths", "fractions", "thresholds"))
    return from_keys(
        {"seq_len": seq_len, "strategy": strategy, **given}, layers if found or strategy == "none" else None
    )


def texts(labels=True):
    """Two batches, the second without padding, the longest input first."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([12, 9, 7, 4])
    ids = torch.randint(5, 90, (4, 12), generator=generator)
    mask = (torch.arange(12) < lengths[:, None]).long()
    batches = [
        {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask},
        {"input_ids": torch.randint(5, 90, (4, 9), generator=generator)},
    ]
    return [{**batch, "labels": torch.tensor([0, 1, 1, 0])} for batch in batches] if labels else batches


def answers(model, batches):
    """Logits of batches alike in size, one below the other."""
    with torch.inference_mode():
        return torch.cat([model(**batch).logits for batch in batches])


@torch.no_grad()
def logits_of(model):
    """Of the two batches."""
    return torch.cat([model.eval()(**batch).logits for batch in texts(labels=False)])


def ours(host, lengths=(16, 16, 16)):
    """This encoder around a host of three layers."""
    return ShortenedModel(host, Elimination(Lengths(lengths), 16)).eval()
