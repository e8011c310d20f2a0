"""DICOM films: header, table, and pixels without and with compression."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser, parse_file

TABLE = b"file;label;patient;view\nx.dcm;Edema;1;PA\n"


def _write_salt(root: Path) -> Path:
    salt = root.parent / "salt.key"
    salt.write_bytes(b"0123456789abcdef" * 2)
    return salt


def _encode_film(compress: str = "", **tags: object) -> bytes:
    import numpy as np
    from support.dicom_files import build_film, build_jpeg_film, draw_12_bit_phantom

    pixels = draw_12_bit_phantom(1)
    if compress == "JPEG":
        film = build_jpeg_film((pixels >> 4).astype(np.uint8), **tags)
    else:
        film = build_film(pixels, compress=compress, **tags)
    stream = io.BytesIO()
    film.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _open_film(make_examples: Callable[[], tuple[bytes, ...]]) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.readers import dicom

        salt = _write_salt(root)

        def read() -> object:
            films = list(dicom.read_films(str(root), salt=str(salt)))
            return [(film.read_size(), film.read()) for film in films]

        return OpenParser(make_examples(), parse_file(root / "x.dcm", read))

    return open_parser


def _make_uncompressed() -> tuple[bytes, ...]:
    return (
        _encode_film(),
        _encode_film(PhotometricInterpretation="MONOCHROME1", WindowCenter=2000, WindowWidth=3000),
        _encode_film(PatientOrientation=["R", "F"], PixelSpacing=[0.1, 0.2], RescaleSlope=2, RescaleIntercept=-5),
    )


def _make_compressed() -> tuple[bytes, ...]:
    from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

    return (*map(_encode_film, (JPEGLSLossless, JPEG2000Lossless, RLELossless)), _encode_film("JPEG"))


def _open_table(root: Path) -> OpenParser:
    from synthcxr.readers import dicom

    salt = _write_salt(root)
    (root / "x.dcm").write_bytes(_encode_film())
    return OpenParser(
        (TABLE.replace(b";", b","), TABLE),
        parse_file(root / "labels.csv", lambda: list(dicom.read_films(str(root), salt=str(salt)))),
    )


def _open_salt(root: Path) -> OpenParser:
    from synthcxr.readers import dicom

    salt = _write_salt(root)
    (root / "x.dcm").write_bytes(_encode_film())
    return OpenParser((salt.read_bytes(),), parse_file(salt, lambda: list(dicom.read_films(str(root), salt=str(salt)))))


PARSERS = [
    Parser("dicom_film", "dicom", _open_film(_make_uncompressed), share=0.7),
    Parser("dicom_compressed", "dicom", _open_film(_make_compressed), share=0.7),
    Parser("dicom_table", "csv", _open_table, share=0.5),
    Parser("dicom_salt", "binary", _open_salt, share=0.2),
]
