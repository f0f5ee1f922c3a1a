"""Keys that had another name: each is answered with the one it has now."""

FORMER = {
    "checkpoint": "model_dir",
    "shortened": "model_dir",
    "compress.flops": "target.flops",
    "attention": "runtime.significance",
    "max_drop": "bench.max_drop",
    "threads": "runtime.threads",
    "variant.name": "variant",
    **{
        name: f"research.{name}"
        for name in (
            *("regularizer", "word_vector_cost", "retention.bins", "calibrate.by"),
            *("evolutionary.population", "evolutionary.generations"),
            *("compress.head_score", "compress.rounds", "compress.steps", "compress.stop", "compress.lr_clips"),
            *("retrain.distill_cls", "retrain.patient", "retrain.patient_layers", "retrain.patient_norm"),
            *("retrain.gradual", "retrain.train_once"),
            *("variant.diagonal", "variant.pad_queries", "variant.shield_cls", "variant.rounding"),
            *("variant.retrain_from", "variant.best_by"),
        )
    },
}
FORMER_VALUES = {("strategy", "none"): "retention=full"}
# (verb, key): what to give instead of a key that the verb does not have
INSTEAD = {
    ("finetune", "model_dir"): "finetune makes a model directory, it takes none: start from a model with "
    "model.name_or_path=FOLDER, or a name on the hub",
    ("search", "retention"): "search finds a retention configuration, it takes none: give it to retrain",
}


def now_called(key: str) -> str | None:
    """What to say of a former key; None of any other."""
    return f"{key}= is now {FORMER[key]}=" if key in FORMER else None
