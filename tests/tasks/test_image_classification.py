"""Pictures as rows: what is read of people's files, what is refused, and what a model is given."""

import csv
import io
import json

import datasets
import numpy as np
import pytest
import torch
from custom import task
from PIL import Image
from transformers import AutoImageProcessor, BertConfig, ViTConfig

from powerbert_cli.kinds.image_classification import ImageClassification
from powerbert_cli.kinds.pictures import decoded, picture_of
from powerbert_cli.kinds.values import RowError
from powerbert_cli.models.image_processors import ImageProcessors
from powerbert_cli.models.weights import ModelError
from powerbert_cli.settings import ModelSettings
from powerbert_cli.tasks.batch import lengths_in
from powerbert_cli.tasks.batches import make_batches
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.tasks.sources import load_task
from powerbert_cli.tasks.synthetic_pictures import CLASSES, generate
from powerbert_cli.tasks.tokenizing import tokenize

KIND = ImageClassification(["cat", "dog"], "accuracy")
PROCESSING = ImageProcessors()
MODEL = ModelSettings(
    name="vit",
    name_or_path=None,
    config={"model_type": "vit"},
    tokenizer=None,
    vocab_size=None,
    trust_remote_code=False,
)


def config(**changes):
    return ViTConfig(**{"image_size": 16, "patch_size": 4, "hidden_size": 16, "num_attention_heads": 2, **changes})


def processor(**changes):
    return PROCESSING.made(None, MODEL, config(**changes))


def file_of(picture, form="PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def noise(seed=0, size=(20, 12)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path):
    """train/ and dev/ with three pictures of each of two classes."""
    for split in ("train", "dev"):
        for c, name in enumerate(("cat", "dog")):
            place = tmp_path / split / name
            place.mkdir(parents=True)
            for i in range(3):
                noise(100 * (split == "dev") + 10 * c + i).save(place / f"{i}.png")
    return tmp_path


def read(folder, **changes):
    own = {"kind": "image_classification", "text_columns": ["image"], "label_names": ["cat", "dog"]}
    return load_task(task(folder, **{**own, **changes}))


def test_folders_of_classes(folder):
    (folder / "train/cat/.DS_Store").write_bytes(b"x")
    (folder / "train/dog/Thumbs.db").write_bytes(b"x")
    data = read(folder)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and not data.held_back
    assert data.train.rows[4]["image"] == (folder / "train/dog/1.png").read_bytes()
    (folder / "dev").rename(folder / "validation")
    assert read(folder).dev.content == data.dev.content


def test_a_changed_picture_changes_the_rows(folder):
    before = read(folder)
    noise(7).save(folder / "train/cat/0.png")
    after = read(folder)
    assert after.train.content != before.train.content and after.dev.content == before.dev.content


@pytest.mark.parametrize("form", ["csv", "parquet", "bytes"])
def test_files_of_rows(folder, form):
    """Paths are those beside the file; of Parquet also what `datasets` writes, with the names of its classes."""
    places = sorted((folder / "train").glob("*/*.png"))
    found = read(folder).train
    if form == "csv":
        with (folder / "train.csv").open("w") as stream:
            rows = [["image", "label"], *([str(one.relative_to(folder)), one.parent.name] for one in places)]
            csv.writer(stream).writerows(rows)
    else:
        values = [str(one) for one in places] if form == "parquet" else [one.read_bytes() for one in places]
        types = {"image": datasets.Value("binary") if form == "bytes" else datasets.Image()}
        types["label"] = datasets.ClassLabel(names=["cat", "dog"])
        rows = datasets.Dataset.from_dict({"image": values, "label": [0] * 3 + [1] * 3}, datasets.Features(types))
        rows.to_parquet(folder / "train.parquet")
    (folder / "dev.jsonl").write_text(json.dumps({"image": "dev/cat/0.png", "label": "cat"}) + "\n")
    data = read(folder)
    assert data.train.labels.tolist() == found.labels.tolist() and len(data.dev) == 1
    own = zip(data.train.rows["image"], found.rows["image"], strict=True)
    assert all(np.array_equal(decoded(one, 3), decoded(other, 3)) for one, other in own)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: (f / "train/dog/1.png").write_bytes(b""), "dog/1.png has an empty file"),
        (lambda f: (f / "train/dog/1.png").write_text("hello"), "dog/1.png is no picture that PIL knows"),
        (
            lambda f: (f / "train/dog/1.png").write_bytes((f / "train/dog/0.png").read_bytes()[:-200]),
            "dog/1.png is a damaged picture",
        ),
        (lambda f: (f / "train/dog/a.txt").write_text("a"), "dog/a.txt is no picture by its name"),
        (lambda f: (f / "train/cow").mkdir(), "train/cow is empty"),
        (lambda f: (f / "dev/dog").rename(f / "dev/cow"), "dev has the class 'cow', which"),
        (lambda f: (f / "train/dog/0.png").rename(f / "train/0.png"), "0.png beside folders of classes"),
        (lambda f: (f / "train").rename(f / "other"), "no train/CLASS with pictures"),
        (lambda f: (f / "train/dog/more").mkdir(), "a folder in the folder of a class"),
        (lambda f: (f / "training").mkdir(), "several train folders: train, training"),
        (lambda f: (f / "train.csv").write_text("picture,label\na.png,cat\n"), "has no column 'image'"),
        (lambda f: (f / "train.csv").write_text("image,label\na.png,cat\n"), "a.png' as 'image', which cannot be read"),
        (lambda f: (f / "train.csv").write_text("image,label\n,cat\n"), "has no 'image'"),
        (lambda f: (f / "train.jsonl").write_text('{"image": 7, "label": "cat"}\n'), "has 7 as 'image', which is of"),
    ],
)
def test_what_is_wrong_is_named(folder, make, said):
    make(folder)
    with pytest.raises(DataError) as error:
        read(folder)
    assert said in str(error.value)


def test_pictures_of_other_modes_get_the_channels_that_are_wanted():
    rgb = noise()
    assert np.array_equal(decoded(file_of(rgb), 3), np.asarray(rgb))
    grey = np.asarray(decoded(file_of(rgb.convert("L")), 3))
    assert (grey[..., 0] == grey[..., 1]).all() and grey.shape == (12, 20, 3)
    for mode in ("RGBA", "P", "CMYK", "LA", "1"):
        form = "TIFF" if mode == "CMYK" else "PNG"
        assert decoded(file_of(rgb.convert(mode), form), 3).mode == "RGB"
        assert decoded(file_of(rgb.convert(mode), form), 1).mode == "L"
    sixteen = np.arange(240, dtype=np.uint16).reshape(12, 20) * 256
    assert np.array_equal(decoded(file_of(Image.fromarray(sixteen)), 1), sixteen >> 8)
    with pytest.raises(RowError, match="real numbers"):
        decoded(file_of(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), 3)


def test_a_picture_is_turned_as_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    whole = Image.new("RGB", (20, 12), "red")
    assert decoded(file_of(whole, "JPEG", exif=exif), 3).size == (12, 20)


def test_a_picture_of_too_many_pixels_is_named(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(RowError, match="damaged picture.*decompression bomb"):
        picture_of(file_of(noise()), "image")


def test_a_picture_of_a_form_that_pil_has_not_is_named():
    content = bytearray(file_of(noise(), "DDS"))
    content[80:84] = bytes(4)  # which pixel format it is of
    with pytest.raises(RowError, match="damaged picture: Unknown pixel format"):
        picture_of(bytes(content), "image")


def test_pixel_values_are_those_of_the_saved_processor(tmp_path):
    made = processor(image_size=32)
    assert made.length == 65
    made.save_pretrained(tmp_path)
    own = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    pictures = [noise(1), noise(2, (9, 30))]
    wanted = own(images=pictures, return_tensors="pt")["pixel_values"]
    found = made([file_of(one) for one in pictures])
    assert found.shape == (2, 3, 32, 32) and found.dtype == torch.float32 and torch.equal(found, wanted)
    loaded = PROCESSING.fit(PROCESSING.load(str(tmp_path), ""), config(image_size=32), "x")
    assert PROCESSING.digest(loaded) == PROCESSING.digest(made) and loaded.length == 65


def test_pictures_that_are_not_square():
    made = processor(image_size=[16, 32])
    assert made([file_of(noise())]).shape == (1, 3, 16, 32) and made.length == 4 * 8 + 1


def test_one_channel():
    made = processor(num_channels=1)
    assert made([file_of(noise())]).shape == (1, 1, 16, 16)


def test_what_a_processor_makes_decides_its_digest():
    digests = {PROCESSING.digest(processor(**one)) for one in ({}, {"image_size": 32}, {"num_channels": 1})}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_size": 3}, "image_size=3 has no patch of patch_size=4"),
        ({"num_channels": 4}, "a model of 4 channels"),
    ],
)
def test_models_that_take_no_such_pictures(changes, said):
    with pytest.raises(ModelError, match=said):
        processor(**changes)


def test_a_model_of_texts():
    with pytest.raises(ModelError, match="a model of type bert takes no pictures; set model=vit-tiny"):
        PROCESSING.check_takes(BertConfig(), "x")


def test_a_processor_of_another_size_is_refused(tmp_path):
    processor(image_size=32).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="makes pictures of 32×32 pixels, the model takes 16×16"):
        PROCESSING.fit(PROCESSING.load(str(tmp_path), ""), config(), "x")
    with pytest.raises(ModelError, match="has no image processor .preprocessor_config.json.; mend"):
        (tmp_path / "empty").mkdir()
        PROCESSING.load(str(tmp_path / "empty"), "mend it")


def test_encoded_rows_keep_files_and_batches_have_pixels(folder):
    made = processor()
    rows = tokenize(read(folder).train.rows, KIND, made, None)
    assert set(rows.column_names) == {"image", "length", "labels"} and set(rows["length"]) == {17}
    assert rows[5]["image"] == (folder / "train/dog/2.png").read_bytes() and rows["labels"][5] == 1
    one, two = make_batches(list(rows), "longest", 4, KIND.collator(made), "cpu", seq_len=17)
    assert list(one) == ["pixel_values"] and one["pixel_values"].shape == (4, 3, 16, 16)
    assert lengths_in(two) == [17, 17]
    few = rows.select([5, 1])
    assert KIND.collator(made)(list(few))["labels"].tolist() == [1, 0]


def test_generated_pictures():
    found = list(generate(60, 3, 32))
    assert found == list(generate(60, 3, 32)) and found != list(generate(60, 4, 32))
    sizes = {label: set() for label in range(len(CLASSES))}
    for content, label in found:
        bright = np.asarray(decoded(content, 3)).min(axis=2) > 100
        sizes[label].add((int(bright.any(axis=1).sum()), int(bright.any(axis=0).sum())))
    assert sizes == {0: {(4, 12)}, 1: {(12, 4)}, 2: {(7, 7)}}
