"""powerbert export: a finished model as an inference engine loads it, or as bits."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..settings.common import Common
from ..settings.export import Exporting
from ..settings.model import ModelDir
from ..settings.rules import SettingsError
from ..settings.task import ModelSettings

SUMMARY = "write a finished model as an inference engine loads it, for inputs of any size"
DETAILS = """engine=native needs g++ or clang++ once; the others pip install '.[onnx]', '.[openvino]' or
'.[ctranslate2]' in powerbert's source folder. predict and bench take the folder that this writes.
The file's answers on dev are compared with PyTorch's."""
EXAMPLES = [
    "powerbert export model_dir=RUN/model engine=native precision=int8",
    "powerbert export model_dir=RUN/model engine=openvino precision=int8",
]


@dataclass(kw_only=True)
class Settings(Exporting, ModelDir, Common):
    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8")
    TAKES_SHORTENED: ClassVar[bool] = True

    def verify(self) -> None:
        if self.model_dir is None:
            raise SettingsError("model_dir is not given; export takes a finished model: model_dir=RUN/model")
        self.check_precision(self.precision)

    @property
    def start_model(self) -> ModelSettings:
        """The model that is taken, with its own tokenizer. It runs no code of its own."""
        assert self.model_dir is not None
        return ModelSettings(
            name="model_dir",
            name_or_path=self.model_dir,
            config=None,
            tokenizer=None,
            vocab_size=None,
            trust_remote_code=False,
        )


def run(cfg: Any) -> float:
    """Returns the largest difference of a logit on dev between PyTorch and the file."""
    from ..recipes.export import export
    from ..report.console import console
    from ..report.tables import say_retention, say_run_dir
    from .prepare import begin

    job, run_dir = begin(cfg, Settings)
    found = export(job, run_dir / "model")
    say_retention(found.retention)
    answers = found.compared
    differ = "" if answers["answers_differ"] is None else f", {answers['answers_differ']:.2%} of the answers differ"
    console.print(
        f"{found.file.name}: {found.size_mb:.1f} MB; on dev {answers['metric']} {answers['value']:.4f} (PyTorch in "
        f"float32: {answers['value_fp32']:.4f}){differ}, logits by at most {answers['logits_differ']:.2g}"
    )
    say_run_dir(run_dir)
    return float(answers["logits_differ"])
