"""One of several classes for each clip of sound."""

from .classification import Classification
from .hearing import Hearing


class AudioClassification(Hearing, Classification):
    NAME = "audio_classification"
    ABOUT = "one of several classes, of a clip of sound"
    HEAD = "ForAudioClassification"
    PIPELINE = "audio-classification"
    TASK = "audio"
    GENERATED = ("milliseconds",)
