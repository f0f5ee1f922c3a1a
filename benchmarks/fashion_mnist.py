"""Fashion-MNIST as Parquet files of pictures: python benchmarks/fashion_mnist.py SOURCE FOLDER.

SOURCE holds the four .gz files of the data set, as Debian's package dataset-fashion-mnist does. FOLDER gets
train.parquet (60,000 pictures of 28 x 28) and dev.parquet (10,000).
"""

import gzip
import io
import sys
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


def main() -> None:
    source, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    for name, own in {"train": "train", "t10k": "dev"}.items():
        pixels = read(source / f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels = read(source / f"{name}-labels-idx1-ubyte.gz", 8).tolist()
        rows = datasets.Dataset.from_dict({"image": [png(one) for one in pixels], "label": labels}, features=features)
        rows.to_parquet(folder / f"{own}.parquet")


if __name__ == "__main__":
    main()
