"""Every shipped YAML composes and validates; help tells the truth about the defaults."""

import pytest
import yaml
from hydra import compose, initialize_config_dir

from powerbert_cli import usage
from powerbert_cli.cli import conf_dir
from powerbert_cli.method.retention import check_lengths
from powerbert_cli.settings import SettingsError
from powerbert_cli.settings.typed import from_config, typed
from powerbert_cli.verbs import VERBS, settings_of


def composed(verb, *overrides):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(verb, overrides=list(overrides))


POINTS = sorted(path.stem for path in (conf_dir() / "point").glob("*.yaml"))


def options():
    """Each once, with sweep where that has it; experiments, which set keys of many groups, with the fewest keys too."""
    known: set[tuple[str, str]] = set()
    for verb in ("sweep", "bench", "finetune"):
        for group, names in usage.groups(verb, conf_dir()).items():
            for name in names:
                if (group, name) not in known or (verb, group) == ("finetune", "experiment"):
                    known.add((group, name))
                    yield verb, group, name


@pytest.mark.parametrize(("verb", "group", "name"), list(options()))
def test_each_option_composes_and_validates(verb, group, name, tmp_path):
    overrides = [f"{group}={name}"]
    if name in ("custom", "image", "audio", "speech"):
        overrides.append(f"task.data_dir={tmp_path}")
    settings, _ = typed(composed(verb, *overrides), settings_of(verb))
    if group == "retention" and isinstance(settings.retention.lengths, list):
        check_lengths(settings.retention.lengths, settings.seq_len, 12)


def test_every_yaml_is_an_option_or_a_verb():
    found = {str(p.relative_to(conf_dir()).with_suffix("")) for p in conf_dir().rglob("*.yaml")}
    parts = ("common", "train", "compress", "search", "retrain", "bench")
    reached = {f"{group}/{name}" for _, group, name in options()} | set(VERBS) | {f"part/{name}" for name in parts}
    reached |= {"hydra/job_logging/powerbert", "hydra/job_logging/screen"}
    reached |= {f"hydra/launcher/{name}" for name in ("joblib", "ray", "submitit_local", "submitit_slurm")}
    reached |= {f"point/{name}" for name in POINTS}
    assert found == reached


@pytest.mark.parametrize("name", [name for name in POINTS if name.startswith("bits-")])
def test_each_point_of_deep_compression_has_few_bits(name):
    settings = from_config(
        composed("sweep", "experiment=paper/deep-compression", f"point={name}"), settings_of("sweep")
    )
    assert settings.compress.quantises and not settings.compress.given and settings.retention.lengths == "full"
    assert (settings.compress.sparsity == "2:4") == ("2to4" in name) and settings.curve == "bits"


@pytest.mark.parametrize("name", [name for name in POINTS if not name.startswith("bits-")])
def test_each_point_of_figure_6_is_of_a_curve(name):
    settings = from_config(composed("sweep", "experiment=paper/figure6", f"point={name}"), settings_of("sweep"))
    assert settings.compress.given == (not name.startswith("power-0")) and settings.target.speedup is None
    assert (settings.retention.lengths is None) == name.startswith("power")
    assert settings.curve == ("power on kcm" if "-on-" in name else None)


@pytest.mark.parametrize(
    ("method", "axis"), [("kcm", "ffn"), ("head-prune", "heads"), ("first", "layers"), ("power", None)]
)
def test_a_target_is_for_what_the_method_removes(method, axis):
    """The share of the whole model, whatever reaches it."""
    given = ["target.flops=0.8"] if axis else ["target.flops=0.8", "searcher=calibrate"]
    settings = from_config(composed("sweep", f"method={method}", *given), settings_of("sweep"))
    assert (settings.compress.flops, settings.compress.reached_by) == ((0.8, axis) if axis else (None, "ffn"))
    assert settings.compress.layers is None and settings.compress.ffn is None
    full = from_config(composed("sweep", "retention=full", "target.flops=0.8"), settings_of("sweep"))
    assert (full.compress.flops, full.compress.reached_by) == (0.8, "ffn")
    with pytest.raises(SettingsError, match="compress.ffn and target.flops are given; give one of them"):
        from_config(composed("sweep", "retention=full", "target.flops=0.8", "compress.ffn=0.5"), settings_of("sweep"))
    assert settings.target.flops == 0.8


def test_published_settings_are_the_defaults():
    """From the authors' README, see the table of the method."""
    search = from_config(composed("search", "task=rte"), settings_of("search"))
    assert (search.lr, search.lr_soft, search.regularizer_weight) == (3e-5, 3e-3, 1e-3)
    assert (search.batch_size, search.seq_len) == (16, 256)


def test_top_level_keys_reach_the_stages():
    settings = from_config(
        composed("sweep", "epochs=7", "retrain.epochs=2", "lr=1e-4", "precision=bf16"), settings_of("sweep")
    )
    assert (settings.finetune.epochs, settings.search.epochs, settings.retrain.epochs) == (7, 7, 2)
    assert settings.finetune.lr == settings.retrain.lr == 1e-4
    assert [settings.training.precision] == settings.bench.precisions == ["bf16"]


def test_precision_of_bench_is_that_of_timing():
    settings = from_config(composed("bench", "precision=bf16"), settings_of("bench"))
    assert (settings.bench.precisions, settings.training.precision) == (["bf16"], "fp32")


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_the_keys_and_their_true_defaults(verb):
    cfg = composed(verb)
    texts = {scope: " ".join(usage.verb_help(verb, conf_dir(), scope).split()) for scope in ("all", "research")}
    for key, _, default in usage.keys_of(verb, conf_dir()):
        assert f" {key} " in texts["research" if key.startswith("research.") else "all"]
        if key.startswith(("runtime.", "bench.", "seed", "research.evolutionary.")):
            assert f"[{default}]" in " ".join(texts.values())
            node = cfg
            for part in key.split("."):
                node = node[part]
            if "${" not in default:
                assert yaml.safe_load(default) == node, key
    assert "${" not in texts["all"].partition("groups:")[2]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lambda=-1e-3", "lambda=-0.001 must be a number ≥ 0"),
        ("lambda=nan", "lambda=nan must be"),
        ("lambda=much", "lambda=much must be a number"),
        ("batch_size=0", "batch_size=0 must be at least 1"),
        ("batch_size=1.5", "batch_size=1.5 must be a whole number"),
        ("lr_soft=0", r"lr_soft=0\.0 must be a number above 0"),
        ("seed=-1", "seed=-1 must be in"),
        ("precision=half", "precision=half is none of fp32, bf16, fp16"),
        ("device=gpu", "device=gpu is none of auto, cpu, cuda"),
        ("task.metric=acuracy", r"task.metric=acuracy is none of .* \(did you mean 'accuracy'\?\)"),
        ("task.metric=spearman", "take one of accuracy, f1, macro_f1, matthews, or set task.kind=regression"),
        ("task.label_names=[one]", "at least two classes"),
        ("bench.rounds=2", "bench.rounds=2 must be at least 3"),
        ("bench.paddings=[longst]", r"bench.paddings=longst .*did you mean 'longest'"),
        ("training.accumulation=3", "batch_size=32 must be a multiple"),
        ("model_dir=nowhere", "model_dir=nowhere is no model directory"),
        ("retention.path=nope.json", "retention.path=nope.json is not a file"),
        ("bench.max_drop=2", "bench.max_drop=2.0 must be in"),
        ("task.submission={file:../../x.tsv,labels:null}", "task.submission.file=../../x.tsv must be a file name"),
    ],
)
def test_values_that_break_a_rule(override, message):
    with pytest.raises(SettingsError, match=message):
        from_config(composed("sweep", override), settings_of("sweep"))
