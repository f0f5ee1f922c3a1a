"""The sorts of processors by name; who adds one adds it here."""

from ..kinds import Kind
from .image_processors import ImageProcessors
from .processing import Processing
from .sound_processors import FeatureExtractors, SpeechProcessors
from .tokenizers import Tokenizers

PROCESSING: dict[str, Processing] = {
    **{"tokenizer": Tokenizers(), "image_processor": ImageProcessors()},
    **{"feature_extractor": FeatureExtractors(), "speech_processor": SpeechProcessors()},
}


def processing_of(kind: Kind) -> Processing:
    """The sort that a kind of tasks needs."""
    return PROCESSING[kind.PROCESSOR]
