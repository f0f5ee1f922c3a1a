"""Settings of files that inference engines load."""

from dataclasses import dataclass

from .bench import ENGINE_PRECISIONS
from .rules import Part, SettingsError, key, one_of

FORMATS, EMBEDDINGS = ("engine", "packed"), ("int8", "fp32")


@dataclass(kw_only=True)
class Exporting(Part):
    format: str = key(
        "engine: what an inference engine loads; packed: weights as bits, for powerbert alone",
        " (smaller, no faster)",
        common=True,
    )
    engine: str = key(
        "what loads it: native (powerbert's kernels), onnx, openvino or ctranslate2",
        ": native writes the model directory with native.safetensors, onnx (ONNX Runtime) model.onnx, in fp32 or int8, "
        "openvino openvino_model.xml, ctranslate2 the folder ctranslate2, of plain models; all but onnx in fp32, bf16 "
        "or int8",
        common=True,
    )
    embeddings: str = key("format=packed: int8 (a scale for each row) or fp32", common=True)

    def verify(self) -> None:
        one_of("format", self.format, FORMATS)
        one_of("embeddings", self.embeddings, EMBEDDINGS)
        one_of("engine", self.engine, tuple(ENGINE_PRECISIONS))

    def check_precision(self, precision: str) -> None:
        """Raises a SettingsError where the file cannot have it."""
        if self.format == "packed" and precision != "fp32":
            raise SettingsError(
                f"precision={precision} is of format=engine; a packed file has the bits of compress.bits"
            )
        if precision not in ENGINE_PRECISIONS[self.engine]:
            raise SettingsError(
                f"precision={precision}: engine={self.engine} has {', '.join(ENGINE_PRECISIONS[self.engine])}"
            )

    @property
    def writes_graph(self) -> bool:
        return self.format == "engine" and self.engine in ("onnx", "openvino")

    def packages(self, precision: str) -> list[str]:
        """What writing and comparing a graph takes beside the exporter."""
        if self.engine == "onnx":
            return ["onnxruntime"]
        return ["openvino", *(["nncf"] if precision == "int8" else [])]
