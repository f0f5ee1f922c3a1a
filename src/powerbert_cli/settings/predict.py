"""Settings of the verb that answers rows with a finished model."""

from dataclasses import dataclass
from pathlib import Path

from .bench import BENCH_PRECISIONS, ENGINES
from .rules import SettingsError, at_least_one, key, one_of

INPUTS = ("lines", "tsv", "csv", "jsonl", "parquet")
OUTPUTS = ("tsv", "csv", "jsonl", "parquet")
STANDARD = "-"  # standard input or output
AUTO = "auto"


@dataclass(kw_only=True)
class PredictOptions:
    input_format: str = key("lines (a text in each), tsv, csv, jsonl, parquet; auto: by the file's name, else lines")
    output_format: str = key("tsv, csv, jsonl, parquet; auto: by the file's name, else tsv without a header")
    on_error: str = key("at a row that cannot be read: stop, or skip and list it in OUTPUT.errors.tsv")
    survivors: bool = key("also each word with the last layer that it reached")
    together: int = key("rows that are read before they are answered, in order of their length; they come out in order")

    def __post_init__(self) -> None:
        one_of("predict.input_format", self.input_format, (AUTO, *INPUTS))
        one_of("predict.output_format", self.output_format, (AUTO, *OUTPUTS))
        one_of("predict.on_error", self.on_error, ("stop", "skip"))
        at_least_one("predict.together", self.together)


@dataclass(kw_only=True)
class PredictSettings:
    model_dir: str | None = key("finished model directory, plain or shortened: RUN/model")
    input: str = key("file of rows (tsv, csv, jsonl, parquet, lines; also .gz); - is standard input")
    output: str = key("file of answers (tsv, csv, jsonl, parquet); - is standard output")
    text_columns: list[str] | None = key("one or two columns with the texts; null: sentence, text, sentence1 and 2 …")
    seq_len: int | None = key("longer inputs are cut; null: ℓ of a shortened model, all positions of a plain one")
    batch_size: int = key("inputs in a batch")
    engine: str = key("how the model is run, as bench.engines")
    precision: str = key("fp32, bf16, fp16 or int8, as the engine has them")
    device: str = key("auto, cpu or cuda")
    threads: int | None = key("CPU threads; null leaves PyTorch's choice")
    predict: PredictOptions = key("")

    def __post_init__(self) -> None:
        if self.model_dir is None:
            raise SettingsError("model_dir is not given; give a finished model directory: model_dir=RUN/model")
        if not (Path(self.model_dir) / "config.json").is_file():
            raise SettingsError(
                f"model_dir={self.model_dir} is no model directory (no config.json in it); give the folder 'model' of "
                "a finished run"
            )
        at_least_one("batch_size", self.batch_size)
        at_least_one("seq_len", self.seq_len)
        at_least_one("threads", self.threads)
        one_of("engine", self.engine, ENGINES)
        one_of("precision", self.precision, BENCH_PRECISIONS)
        one_of("device", self.device, ("auto", "cpu", "cuda"))
        if self.input != STANDARD and not Path(self.input).is_file():
            raise SettingsError(f"input={self.input} is no file; give one, or - for standard input")
        if self.output != STANDARD and not Path(self.output).absolute().parent.is_dir():
            raise SettingsError(f"output={self.output}: there is no folder {Path(self.output).parent}")
        if self.text_columns is not None and len(self.text_columns) not in (1, 2):
            raise SettingsError(f"text_columns={self.text_columns} must name one or two columns")
        if self.predict.on_error == "skip" and self.output == STANDARD:
            raise SettingsError(
                "predict.on_error=skip lists rows beside the output file; give output=FILE, or predict.on_error=stop"
            )

    @property
    def input_format(self) -> str:
        return _format(self.predict.input_format, self.input, INPUTS, "lines")

    @property
    def output_format(self) -> str:
        return _format(self.predict.output_format, self.output, OUTPUTS, "tsv")


def _format(given: str, path: str, known: tuple[str, ...], otherwise: str) -> str:
    if given != AUTO:
        return given
    suffix = Path(path.removesuffix(".gz")).suffix.lstrip(".")
    suffix = {"ndjson": "jsonl", "pq": "parquet"}.get(suffix, suffix)
    return suffix if suffix in known else otherwise
