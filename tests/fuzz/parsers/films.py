"""The readers of films: tables of five layouts, lists, image files of five formats, headers of compressed streams."""

from __future__ import annotations

import functools
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser, parse_file

NIH_TABLE = (
    b"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,Source\n"
    b"00000001_000.png,Cardiomegaly|Emphysema,0,1,58,M,PA,nih\n"
    b"00000002_000.png,No Finding,1,2,58,M,AP,nih\n00000003_000.png,Hernia,2,3.0,61,F,PA,\n"
)
CHEXPERT_TABLE = (
    b"Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Cardiomegaly,Edema,Pleural Effusion\n"
    b"CheXpert/train/patient00001/study1/view1_frontal.png,F,68,Frontal,AP,1.0,,,\n"
    b"CheXpert/train/patient00002/study1/view1_frontal.png,M,87,Frontal,PA,,-1.0,1.0,0.0\n"
    b"CheXpert/train/patient00002/study1/view2_lateral.png,M,87,Lateral,,,,1.0,\n"
)
MIMIC_METADATA = (
    b"dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,ViewCodeSequence_CodeMeaning\n"
    b"a1,10000032,50414267,CHEST (PA AND LAT),PA,postero-anterior\na2,10000032,50414268,CHEST,,antero-posterior\n"
    b"a3,10000032,50414268,CHEST,LATERAL,lateral\n"
)
MIMIC_LABELS = (
    b"subject_id,study_id,Atelectasis,Cardiomegaly,No Finding\n10000032,50414267,1.0,-1.0,\n10000032,50414268,,,1.0\n"
)
FOLDER_TABLE = b"file,label,patient,view\na/1.png,Edema,1,PA\nb/2.png,No Finding,2,AP\nb/3.png,Mass|Hernia,2,\n"
COLUMN_TABLE = b"file;Edema;Mass;patient\na/1.png;1;0;1\nb/2.png;0;0;2\nb/3.png;;1;2\n"
FOLDER_LINES = (
    b'{"file_name": "a/1.png", "labels": ["Edema", "Mass"], "patient_id": 7}\n'
    b'{"file_name": "b/2.png", "labels": "No Finding"}\n{"file_name": "b/3.png", "labels": null, "patient_id": null}\n'
)


@functools.cache
def draw_png() -> bytes:
    """A phantom of 32 px as PNG."""
    from synthcxr.data import images
    from synthcxr.readers import phantom

    return images.encode_png(images.quantise(phantom.draw_film(1, 2, 32)))


def write_images(root: Path, *names: str) -> None:
    """Write the same phantom under several names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(draw_png())


def _open_nih(file: str, *examples: bytes) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.readers import nih

        write_images(root, *(f"images/0000000{n}_000.png" for n in (1, 2, 3)))
        (root / "Data_Entry_2017.csv").write_bytes(NIH_TABLE)
        return OpenParser(examples, parse_file(root / file, lambda: list(nih.read_films(str(root)))))

    return open_parser


def _open_chexpert(root: Path) -> OpenParser:
    from synthcxr.readers import chexpert

    write_images(root, *(f"train/patient0000{n}/study1/view1_frontal.png" for n in (1, 2)))
    return OpenParser((CHEXPERT_TABLE,), parse_file(root / "train.csv", lambda: list(chexpert.read_films(str(root)))))


def _open_mimic(file: str, *examples: bytes) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.readers import mimic

        write_images(root, "files/p10/p10000032/s50414267/a1.jpg", "files/p10/p10000032/s50414268/a2.jpg")
        if not file.startswith("mimic-cxr-2.0.0-metadata"):
            (root / "mimic-cxr-2.0.0-metadata.csv").write_bytes(MIMIC_METADATA)
        return OpenParser(examples, parse_file(root / file, lambda: list(mimic.read_films(str(root)))))

    return open_parser


def _open_folder(file: str, *examples: bytes) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.readers import folder

        write_images(root, "a/1.png", "b/2.png", "b/3.png")
        return OpenParser(examples, parse_file(root / file, lambda: list(folder.read_films(str(root), csv=file))))

    return open_parser


def _open_layout(root: Path) -> OpenParser:
    """Recognise the layout of a folder by its table, as `init` does."""
    from synthcxr import readers

    write_images(root, "a/1.png", "b/2.png", "b/3.png", *(f"0000000{n}_000.png" for n in (1, 2, 3)))
    return OpenParser((NIH_TABLE, FOLDER_TABLE), parse_file(root / "labels.csv", lambda: readers.detect_reader(root)))


def _encode(mode: str, format: str, **options: object) -> bytes:
    import numpy as np
    from PIL import Image

    stream = io.BytesIO()
    grey = Image.open(io.BytesIO(draw_png()))
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    image.save(stream, format, **options)
    return stream.getvalue()


def _open_image(format: str, *variants: tuple[str, dict[str, object]]) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.data import images

        path = root / f"film.{format.lower()}"

        def read() -> object:
            images.read_shorter_side(path)
            return images.read(path)

        examples = tuple(_encode(mode, format, **options) for mode, options in variants)
        return OpenParser(examples, parse_file(path, read))

    return open_parser


def _open_stream_size(root: Path) -> OpenParser:
    from synthcxr.readers import jpeg_header

    siz = b"\xff\x4f\xff\x51\0\x29\0\0" + b"".join(n.to_bytes(4, "big") for n in (32, 32, 0, 0)) + bytes(30)
    examples = (_encode("L", "JPEG"), siz, b"\0\0\0\x0cjP  " + siz)
    return OpenParser(examples, lambda data: jpeg_header.read_size(data))


def _open_source(root: Path) -> OpenParser:
    """An entry of prepare.sources, with its options, merged with itself."""
    from synthcxr.readers import sources

    write_images(root, "a/1.png", "b/2.png", "b/3.png", "images/00000001_000.png")
    (root / "labels.csv").write_bytes(FOLDER_TABLE)
    (root / "nih.csv").write_bytes(NIH_TABLE)
    entries = (
        {"reader": "phantom", "n_films": 3, "resolution": 16, "seed": 1},
        {"reader": "folder", "path": str(root), "map": {"x": "Edema"}, "others": "absent", "view": "PA"},
        {"reader": "folder", "path": str(root), "csv": "labels.csv", "label_column": "label", "separator": "|"},
        {"reader": "nih", "path": str(root), "csv": "nih.csv", "source": "mine"},
    )

    def read(data: bytes) -> object:
        entry = json.loads(data, parse_int=_cap)
        films = sources.read_source("prepare.sources[0]", entry, lambda line: None).films
        return sources.merge_films([*films, *films])

    return OpenParser(tuple(json.dumps(entry).encode() for entry in entries), lambda data: _if_mapping(data, read))


def _cap(text: str) -> int:
    """A number of phantoms that is drawn in a moment; a user who requests a million of them gets them."""
    return int(text) if len(text) < 5 else 5000


def _if_mapping(data: bytes, read: Callable[[bytes], object]) -> object:
    """Run `read` on a JSON object; params.yaml, which has its own parser, admits nothing else here."""
    try:
        is_mapping = isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        is_mapping = False
    return read(data) if is_mapping else None


_TIFF = (("I;16", {}), ("L", {"compression": "tiff_lzw"}), ("RGB", {"compression": "tiff_adobe_deflate"}), ("1", {}))
_WEBP = (("RGB", {"lossless": True}), ("RGBA", {"quality": 50}))
_JPEG = (("L", {}), ("RGB", {"progressive": True}), ("CMYK", {}))
PARSERS = [
    Parser("nih_table", "csv", _open_nih("Data_Entry_2017.csv", NIH_TABLE)),
    Parser("nih_official_list", "text", _open_nih("test_list.txt", b"00000001_000.png\n00000002_000.png\n")),
    Parser("chexpert_table", "csv", _open_chexpert),
    Parser("mimic_metadata", "csv", _open_mimic("mimic-cxr-2.0.0-metadata.csv", MIMIC_METADATA)),
    Parser("mimic_labels", "csv", _open_mimic("mimic-cxr-2.0.0-chexpert.csv", MIMIC_LABELS)),
    Parser(
        "mimic_labels_gz", "gzip", _open_mimic("mimic-cxr-2.0.0-negbio.csv.gz", gzip.compress(MIMIC_LABELS, mtime=0))
    ),
    Parser("folder_table", "csv", _open_folder("labels.csv", FOLDER_TABLE, COLUMN_TABLE)),
    Parser("folder_lines", "json lines", _open_folder("metadata.jsonl", FOLDER_LINES)),
    Parser("film_layout", "csv", _open_layout),
    Parser("film_source", "json", _open_source, share=0.5),
    Parser(
        "film_png", "png", _open_image("PNG", ("L", {}), ("I;16", {}), ("P", {}), ("LA", {}), ("RGB", {}), ("1", {}))
    ),
    Parser("film_jpeg", "binary", _open_image("JPEG", *_JPEG)),
    Parser("film_webp", "binary", _open_image("WebP", *_WEBP)),
    Parser("film_tiff", "binary", _open_image("TIFF", *_TIFF)),
    Parser("film_bmp", "binary", _open_image("BMP", ("L", {}), ("RGB", {}), ("1", {}))),
    Parser("stream_size", "binary", _open_stream_size),
]
