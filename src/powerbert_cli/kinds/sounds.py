"""Clips of sound as rows have them: found, read whole, mixed to one channel and brought to a model's sampling rate."""

import io
import math
import struct
from typing import Any, NamedTuple

import numpy as np

from ..errors import brings
from .media import content_of
from .values import RowError

Array = np.ndarray
WAV = (".wav", ".wave")
OTHERS = (".flac", ".ogg", ".oga", ".opus", ".mp3")  # which take the package soundfile
ENDINGS = (*WAV, *OTHERS)
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# The filter that resamples grows with the rate over what it has in common with the other: at 999,983 samples a second
# it takes 1 GB. Real rates above 100,000 (176,400, 192,000, 312,500) are multiples of 50.
_RATES, _ANY, _STEP = (100, 1_000_000), 100_000, 50
_UNKNOWN = (0, 0xFFFFFFFF)  # sizes of what was written to a pipe; of samples 0 also where there are none


class Clip(NamedTuple):
    """
    Attributes:
        values: (n,) float32, within -1 … 1 of a file of whole numbers; the mean of its channels.
        rate: samples a second. channels: of the file.
    """

    values: Array
    rate: int
    channels: int


def is_sound(name: str) -> bool:
    """By the ending of a file's name, whatever its case."""
    return name.lower().endswith(ENDINGS)


def sound_of(value: Any, column: str) -> bytes:
    """The file of a clip, of which every sample can be read.

    Args:
        value: the bytes of a file, its path, or both as `datasets` has them ({bytes, path}).

    Raises:
        RowError: it is missing, empty, cut off or no sound.
    """
    content = content_of(value, column, "a clip")
    decoded(content)
    return content


def decoded(content: bytes, longest: float = math.inf) -> Clip:
    """The samples of a file: WAV of 8, 16, 24 or 32 bits or of floats; FLAC, OGG and MP3 where soundfile is installed.

    Args:
        longest: seconds; a compressed clip that is longer is not decoded: 30 kB can hold ten minutes of silence.

    Raises:
        RowError: it cannot be read to its end, has no samples, or is not decoded.
    """
    wav = content[:4] == b"RIFF" and content[8:12] == b"WAVE"
    values, rate = _wav(content) if wav else _other(content, longest)
    if not values.shape[1]:
        raise RowError("is a damaged clip: its header says no channels; save it again")
    if not _RATES[0] <= rate <= _RATES[1] or (rate > _ANY and rate % _STEP):
        raise RowError(
            f"is a damaged clip: its header says {rate} samples a second, and clips have {_RATES[0]} to {_RATES[1]}, "
            f"above {_ANY} a multiple of {_STEP}; save it again"
        )
    if not len(values):
        raise RowError("is a clip without a sample; take it out, or record it again")
    if not np.isfinite(values).all():
        raise RowError("is a damaged clip: some samples are no numbers; save it again")
    return Clip(values.mean(axis=1, dtype=np.float32), rate, values.shape[1])


def resampled(values: Array, rate: int, wanted: int) -> Array:
    """Samples (n,) of one rate as (`samples_at`,) float32 of another."""
    if rate == wanted:
        return values
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    return resample_poly(values, wanted // common, rate // common).astype(np.float32)


def samples_at(count: int, rate: int, wanted: int) -> int:
    """How many samples so many of one rate become at another."""
    return -(-count * wanted // rate)


def wav_of(values: Array, rate: int) -> bytes:
    """A WAV file of 16 bits, of samples (n,) within -1 … 1."""
    data = (np.clip(values, -1, 1) * 32767).round().astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, 1, rate, 2 * rate, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE")
    return head + form + struct.pack("<4sI", b"data", len(data)) + data


def _wav(content: bytes) -> tuple[Array, int]:
    """Values (n, channels) and rate.

    Raises:
        RowError: it is cut off, or of a form that is not read.
    """
    (whole,) = struct.unpack_from("<I", content, 4)
    finished = whole not in _UNKNOWN and whole + 8 >= len(content)
    form, at = None, 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        at += 8
        if name == b"fmt " and size >= 16 and at + size <= len(content):
            form = content[at : at + size]
        if name == b"data":
            if form is None:
                break
            if size in _UNKNOWN and not (size == 0 and finished):
                size = len(content) - at
            if at + size > len(content):
                raise RowError(
                    f"is a clip that was cut off: {len(content) - at} of {size} bytes of its samples are there; copy "
                    "it again, or take it out"
                )
            return _values(form, content[at : at + size])
        at += size + size % 2
    raise RowError("is a damaged clip: a WAV file without a format or without samples; save it again")


def _values(form: bytes, data: bytes) -> tuple[Array, int]:
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE and len(form) >= 26:
        (kind,) = struct.unpack_from("<H", form, 24)
    width = bits // 8
    if (kind, bits) not in [*((_PCM, one) for one in (8, 16, 24, 32)), (_FLOAT, 32), (_FLOAT, 64)]:
        raise RowError(
            f"is a WAV file of format {kind} with {bits} bits, which is not read; save it as PCM of 16 bits "
            "(ffmpeg -i FILE -c:a pcm_s16le OUT.wav)"
        )
    data = data[: len(data) // (width * max(channels, 1)) * width * max(channels, 1)]
    if kind == _FLOAT:
        values: Array = np.frombuffer(data, f"<f{width}")
    elif bits == 8:
        values = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    elif bits == 24:
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        values = padded.view("<i4")[:, 0].astype(np.float32) / 2**31
    else:
        values = np.frombuffer(data, f"<i{width}").astype(np.float32) / 2 ** (bits - 1)
    return values.astype(np.float32).reshape(-1, max(channels, 1))[:, :channels], rate


def _other(content: bytes, longest: float) -> tuple[Array, int]:
    """What is no WAV file, by soundfile.

    Raises:
        RowError: that is not installed, or does not know it; or it is of more than so many seconds.
    """
    try:
        import soundfile
    except ImportError as error:
        raise RowError(
            f"is no WAV file; save it as one, or install what reads FLAC, OGG and MP3 ({brings('speech')})"
        ) from error
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            seconds = file.frames / max(file.samplerate, 1)
            if seconds > longest:
                raise RowError(f"is a clip of {seconds:.2f} s, more than {longest:.2f} s; cut it")
            return file.read(dtype="float32", always_2d=True), file.samplerate
    except RowError:
        raise
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise RowError("is no sound that can be read (WAV, FLAC, OGG, MP3); save it as WAV, or take it out") from error
