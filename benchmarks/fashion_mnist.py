"""Fashion-MNIST as Parquet files of pictures: python benchmarks/fashion_mnist.py [--copies N] SOURCE FOLDER.

SOURCE holds the four .gz files of the data set, as Debian's package dataset-fashion-mnist does. FOLDER gets
train.parquet (60,000 pictures of 28 x 28) and dev.parquet (10,000). With --copies each training picture stands there
N more times, mirrored or not and moved by up to two pixels each way, as drawn from seed 0.
"""

import argparse
import gzip
import io
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


def read(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=header)


def png(pixels: np.ndarray) -> dict[str, bytes | None]:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return {"bytes": stream.getvalue(), "path": None}


def moved(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Pictures (N, 28, 28), each mirrored or not and moved by -2 to 2 pixels each way, with background moved in."""
    n, height, width = pixels.shape
    wide = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    rows = draw.integers(0, 5, (n, 1, 1)) + np.arange(height)[:, None]
    columns = draw.integers(0, 5, (n, 1, 1)) + np.arange(width)
    mirrored = draw.integers(0, 2, (n, 1, 1)).astype(bool)
    columns = np.where(mirrored, columns[:, :, ::-1], columns)
    return wide[np.arange(n)[:, None, None], rows, columns]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fashion-MNIST as Parquet files of pictures")
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=0, help="more copies of a training picture, mirrored and moved")
    given = parser.parse_args()
    source, folder, draw = given.source, given.folder, np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    for name, own in {"train": "train", "t10k": "dev"}.items():
        pixels = read(source / f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels = read(source / f"{name}-labels-idx1-ubyte.gz", 8).tolist()
        if own == "train":
            pixels = np.concatenate([pixels, *(moved(pixels, draw) for _ in range(given.copies))])
            labels = labels * (given.copies + 1)
        rows = datasets.Dataset.from_dict({"image": [png(one) for one in pixels], "label": labels}, features=features)
        rows.to_parquet(folder / f"{own}.parquet")


if __name__ == "__main__":
    main()
