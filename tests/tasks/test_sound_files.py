"""Files of sound: what is read of people's, what is refused."""

import io
import struct

import numpy as np
import pytest
from clips import floats, pcm, tone

from powerbert_cli.kinds.sounds import decoded, resampled, samples_at, sound_of, wav_of
from powerbert_cli.kinds.values import RowError
from powerbert_cli.tasks.synthetic_sounds import RATE


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_of_whole_numbers(width):
    values = tone()
    clip = decoded(pcm(values, width))
    assert clip.rate == RATE and clip.channels == 1 and clip.values.dtype == np.float32
    assert np.allclose(clip.values, values, atol=2.0 ** (2 - 8 * width) + 1e-6)


@pytest.mark.parametrize("width", [4, 8])
def test_wav_of_floats(width):
    assert np.allclose(decoded(floats(tone(), width)).values, tone(), atol=1e-6)


def test_wav_of_many_parts():
    """With a part that is not known, of an odd size, and of the extensible format; of a size that a pipe left open."""
    content = pcm(tone(), 2)
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    found = content[:12] + odd + content[12:]
    assert np.array_equal(decoded(found).values, decoded(content).values)
    form = content[12:36][8:]
    extensible = struct.pack("<H", 0xFFFE) + form[2:] + struct.pack("<HHIH14s", 22, 16, 4, 1, b"\0" * 14)
    found = content[:12] + b"fmt " + struct.pack("<I", len(extensible)) + extensible + content[36:]
    assert np.array_equal(decoded(found).values, decoded(content).values)
    for unknown in (b"\xff" * 4, b"\0" * 4):
        found = content[:4] + unknown + content[8:40] + unknown + content[44:]
        assert np.array_equal(decoded(found).values, decoded(content).values)


def test_stereo_is_mixed_and_other_rates_are_resampled():
    left, right = tone(), tone(height=880.0)
    clip = decoded(pcm(np.stack([left, right], axis=1).ravel(), 2, channels=2))
    assert clip.channels == 2 and np.allclose(clip.values, (left + right) / 2, atol=1e-3)
    for rate in (8000, 44100, 48000):
        slow = tone(rate=rate)
        found = resampled(slow.astype(np.float32), rate, RATE)
        assert len(found) == samples_at(len(slow), rate, RATE) and found.dtype == np.float32
        assert np.allclose(found[400:-400], tone()[400 : len(found) - 400], atol=0.02)


def test_flac_by_soundfile():
    soundfile = pytest.importorskip("soundfile")
    stream = io.BytesIO()
    soundfile.write(stream, tone(), 8000, format="FLAC")
    clip = decoded(stream.getvalue())
    assert clip.rate == 8000 and np.allclose(clip.values, tone(), atol=1e-3)
    seconds = len(tone()) / 8000
    assert len(decoded(stream.getvalue(), seconds).values) == len(tone())
    with pytest.raises(RowError, match=rf"is a clip of {seconds:.2f} s, more than {seconds / 2:.2f} s; cut it"):
        decoded(stream.getvalue(), seconds / 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has an empty file as 'audio'"),
        (b"no sound at all, but a text that is long enough", "is no sound that can be read|is no WAV file"),
        (pcm(tone(), 2)[:-100], "was cut off: 9500 of 9600 bytes"),
        (pcm([], 2), "is a clip without a sample"),
        (pcm([], 2)[:4] + b"\x30\0\0\0" + pcm([], 2)[8:] + b"LIST\4\0\0\0INFO", "is a clip without a sample"),
        (pcm(tone(), 2)[:30], "without a format or without samples"),
        (floats([0.0, float("nan")]), "some samples are no numbers"),
        (floats(tone(), rate=2**30 - 1), "its header says 1073741823 samples a second, and clips have 100 to 1000000"),
        (floats(tone(), rate=999_983), "says 999983 samples a second, .* above 100000 a multiple of 50"),
        (floats(tone(), rate=0), "its header says 0 samples a second"),
        (floats(tone(), kind=7), "is a WAV file of format 7 with 32 bits"),
        (None, "has no 'audio'; give the path of a clip"),
        ("nowhere.wav", "'nowhere.wav' as 'audio', which cannot be read"),
        (7, "has 7 as 'audio', which is of type int"),
    ],
)
def test_clips_that_are_none(content, said):
    with pytest.raises(RowError, match=said):
        sound_of(content, "audio")


@pytest.mark.parametrize("rate", [100, 11025, 99_991, 176_400, 312_500, 1_000_000])
def test_rates_that_there_are(rate):
    assert decoded(floats(tone(), rate=rate)).rate == rate


def test_a_wav_that_is_written_is_read():
    assert np.allclose(decoded(wav_of(tone(), 8000)).values, tone(), atol=1e-4)
