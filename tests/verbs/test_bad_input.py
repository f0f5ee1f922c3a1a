"""One clear line, exit code 2, no traceback. In this process, as nothing is trained."""

import pytest

from powerbert_cli.cli import dispatch

CASES = [
    (["serch"], "unknown verb 'serch' (did you mean 'search'?)"),
    (["search", "lamda=1e-3"], "unknown key 'lamda' (did you mean 'lambda'?)"),
    (["finetune", "training.warmup=0"], "unknown key 'training.warmup' (did you mean 'training.warmup_ratio'?)"),
    (["finetune", "task=colla"], "unknown task 'colla' (did you mean 'cola'?)"),
    (["sweep", "hydra/launcher=joblb"], "unknown hydra/launcher 'joblb' (did you mean 'joblib'?); there are: basic"),
    (["finetune", "task.kind=speach"], "speech_recognition (did you mean 'speech_recognition'?)"),
    (["finetune", "model=tinny"], "unknown model 'tinny' (did you mean 'tiny'?)"),
    (["finetune", "lr"], "lr"),
    (["finetune", "task.data_dir=a(b"], "task.data_dir=a(b cannot be read as KEY=VALUE; a value with"),
    (["search", "lambda=1e-4,"], "lambda=1e-4, cannot be read as KEY=VALUE"),
    (["search", "lambda=-1"], "lambda=-1.0 must be a number ≥ 0"),
    (["finetune", "seq_len=1024"], "seq_len=1024 exceeds the 512 positions of the model"),
    (["retrain", "retention.lengths=[9,10,3,2]"], "retention[1]=10 exceeds retention[0]=9; must be non-increasing"),
    (["retrain", "retention.lengths=[9,3,2]"], "3 lengths, the model has 4 layers"),
    (["retrain", "retention.lengths=[9,3,2,1,1]"], "5 lengths, the model has 4 layers"),
    (["retrain", "retention.lengths=[9,3,0,0]"], "retention[2]=0 is below 1"),
    (["retrain", "retention.lengths=[9,3.5,2,1]"], "retention[1]=3.5 is not an integer"),
    (["retrain", "retention.lengths=[90,3,2,1]"], "retention[0]=90 exceeds seq_len=64"),
    (["retrain", "retention.lengths=all"], "retention.lengths='all' must be a list"),
    (["retrain", "retention.lengths=[[1]]"], "retention.lengths=[[1]] must be a list of single values"),
    (["retrain", "retention=paper/rte"], "12 lengths, the model has 4 layers"),
    (["finetune", "precision=fp16", "device=cpu"], "precision=fp16 needs a GPU"),
    (["finetune", "task=synthetic", "model.name_or_path=some/model"], "hf download some/model --local-dir FOLDER"),
    (["finetune", "task=synthetic", "model.name_or_path=./nowhere"], "model.name_or_path=./nowhere is no folder"),
    (["finetune", "task=cola"], "without a network give task.data_dir=FOLDER"),
    (["finetune", "task=custom"], "needs task.data_dir=FOLDER"),
    (["finetune", "task=cola", "task.data_dir=nowhere"], "task.data_dir=nowhere is not a folder"),
    (
        ["finetune", "task=custom", "task.data_dir=data", "task.text_columns=[sentence]", "task.label_column=y"],
        "no column 'y'",
    ),
    (["finetune", "task=rte", "task.data_dir=data"], "no column 'sentence1' (did you mean 'sentence'?)"),
    (["finetune", "output_dir=data/train.tsv"], "data/train.tsv"),
    (["bench", "model_dir=data"], "model_dir=data is no model directory"),
    (["search", "target.flops=0.3", "target.speedup=2"], "target.flops and target.speedup are given; give one of them"),
    (["search", "target.flops=1.5"], "target.flops=1.5 must be above 0 and below 1"),
    (["search", "target.speedup=0.5"], "target.speedup=0.5 must be above 1"),
    (["search", "searcher=calibrate"], "searcher=calibrate needs a target in place of λ: target.flops=0.33"),
    (["search", "searcher=genetic"], "searcher=genetic is none of soft, calibrate, evolutionary"),
    (["search", "retention.kind=relativ"], "retention.kind=relativ is none of absolute, relative (did you mean"),
    (["search", "strategy=threshold", "target.flops=0.5"], "strategy=threshold is searched with λ alone"),
    (["retrain", "retention.fractions=[0.5,0.6,0.1,0.1]"], "fractions[1]=0.6 exceeds fractions[0]=0.5"),
    (["retrain", "retention.fractions=[0.5,0.4]"], "2 fractions, the model has 4 layers"),
    (["retrain", "retention.kind=relative", "retention.lengths=[9,8,7,6]"], "takes retention.fractions"),
    (["retrain", "retrain.distill=2"], "retrain.distill=2.0 must be in 0 … 1"),
    (
        ["retrain", "research.retrain.gradual=0.5", "research.retrain.train_once=true"],
        "research.retrain.gradual and research.retrain.train_once are given",
    ),
    (["bench", "precision=int8", "bench.engines=[compile]"], "engines compile and captured have no int8; add eager"),
    (["retrain", "compress.bits=5"], "compress.bits=5 is none of 2, 4, 8"),
    (["retrain", "compress.sparsity=2:8"], "compress.sparsity=2:8 must be 2:4 or null"),
    (["compress", "compress.bits=4"], "are of a re-training: give them to powerbert retrain"),
    (["finetune", "model_dir=data"], "finetune makes a model directory, it takes none"),
]


@pytest.mark.parametrize(("args", "message"), CASES, ids=[" ".join(args) for args, _ in CASES])
def test_bad_input(folder, capfd, args, message):
    code = dispatch(args)
    err = capfd.readouterr().err
    assert code == 2, err
    assert message in err and "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("powerbert:")]) == 1


def test_words_that_yaml_reads_as_booleans(folder, capfd):
    (folder / "mine" / "task").mkdir(parents=True)
    own = "defaults: [custom, _self_]\nname: theirs\ndata_dir: data\ntext_columns: [sentence]\n"
    (folder / "mine" / "task" / "theirs.yaml").write_text(f"{own}label_names: [no, yes]\n")
    assert dispatch(["finetune", "--config-dir", "mine", "task=theirs"]) == 2
    err = capfd.readouterr().err
    assert "task.label_names=[False, True]: YAML reads the words" in err and "label_names: ['no', 'yes']" in err
    assert dispatch(["finetune", "task.label_column=off", "experiment=smoke", "--cfg", "job"]) == 0  # a word there


@pytest.mark.skipif("__import__('importlib.util').util.find_spec('ray')")
def test_launcher_that_is_not_installed(folder, capfd):
    assert dispatch(["sweep", "hydra/launcher=ray"]) == 2
    assert "pip install '.[ray]'" in capfd.readouterr().err


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_cuda_without_cuda(folder, capfd):
    assert dispatch(["finetune", "device=cuda"]) == 2
    assert "device=cuda but PyTorch finds no CUDA GPU" in capfd.readouterr().err


def test_sweep_in_which_every_job_is_wrong(folder, capfd):
    assert dispatch(["sweep", "lambda=-1,-2", "experiment=smoke"]) == 2
    assert "every job failed: lambda=-1.0 must be a number ≥ 0" in capfd.readouterr().err


def test_sweep_with_a_target_that_is_no_number(folder, capfd):
    assert dispatch(["sweep", "grid=none", "target.flops=abc", "experiment=smoke"]) == 2
    assert "every job failed: target.flops=abc must be a number" in capfd.readouterr().err


@pytest.mark.parametrize("storage", ["nothing://x", "sqlite:////proc/nowhere/a.db", "just text"])
def test_a_storage_that_cannot_be_used(folder, capfd, storage):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    study = [f"hydra.sweeper.storage='{storage}'", "hydra.sweeper.study_name=a"]
    assert dispatch(["sweep", "experiment=pareto", *study]) == 2
    err = capfd.readouterr().err
    assert f"hydra.sweeper.storage={storage} cannot be used: " in err and err.count("\n") == 1
