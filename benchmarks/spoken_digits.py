"""Spoken digits, made by espeak-ng: python benchmarks/spoken_digits.py FOLDER [CLIPS].

FOLDER/digits gets clips of one digit by class (train/three/…wav), FOLDER/numbers clips of three to six digits with
metadata.csv (file_name, transcription). Each has CLIPS in all, 2,000 unless told, a fifth of them dev: of voices that
train does not have. Needs the program espeak-ng.
"""

import csv
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ACCENTS = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029"]
VOICES = {"train": ["m1", "m2", "m3", "m4", "m5", "f1", "f2", "f3"], "dev": ["m7", "f4", "f5"]}
SPEEDS = (130, 150, 170, 190, 210)  # words a minute


def speak(text: str, voice: str, rng: random.Random, path: Path) -> list[str]:
    """The command that does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    accent, speed, pitch = rng.choice(ACCENTS), rng.choice(SPEEDS), rng.randint(35, 65)
    return ["espeak-ng", "-v", f"{accent}+{voice}", "-s", str(speed), "-p", str(pitch), "-w", str(path), text]


def main() -> None:
    folder, clips = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    rng, commands = random.Random(0), list[list[str]]()
    for split, count in {"train": clips - clips // 5, "dev": clips // 5}.items():
        rows = []
        for i in range(count):
            voice, digit = rng.choice(VOICES[split]), DIGITS[i % len(DIGITS)]
            commands.append(speak(digit, voice, rng, folder / "digits" / split / digit / f"{i}.wav"))
            text = " ".join(rng.choice(DIGITS) for _ in range(rng.randint(3, 6)))
            commands.append(speak(text, voice, rng, folder / "numbers" / split / f"{i}.wav"))
            rows.append((f"{i}.wav", text))
        with (folder / "numbers" / split / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("file_name", "transcription"), *rows])
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda command: subprocess.run(command, capture_output=True, text=True), commands):
            if done.returncode:
                sys.exit(f"{' '.join(done.args)}: {done.stderr.strip()}")


if __name__ == "__main__":
    main()
