"""Short texts: messages with credentials, numbers for people, access codes, and limits in the environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fuzz.parser import OpenParser, Parser, decode_text


def _open_redaction(root: Path) -> OpenParser:
    from synthcxr.storage import redaction

    examples = (
        b"cannot connect to http://alice:s3cretvalue@host:5000/path?token=abcdef&x=1",
        b"mysql+pymysql://u:p/w@host/db and https://tok3n@host Authorization: Bearer abcdefgh12345678",
        b"s3://bucket/key?X-Amz-Signature=0123&sig=4567#f",
    )

    def redact(data: bytes) -> None:
        text = decode_text(data)
        redaction.redact_credentials(text)
        redaction.redact_credentials("failed", text)
        redaction.strip_userinfo(text)

    return OpenParser(examples, redact)


def _open_numbers(root: Path) -> OpenParser:
    """Every function that writes a number for people takes any number that a JSON file may hold."""
    from synthcxr.data import number_format

    def format_all(data: bytes) -> None:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1.8e308:
            return
        number_format.format_number(value)
        number_format.format_decimals(value, decimals=3)
        number_format.format_percent(value)
        number_format.format_percent(value, digits=2)
        number_format.format_interval((value, value))
        number_format.format_percent_interval((value, None))
        if isinstance(value, int):
            number_format.format_count(value)

    return OpenParser((b"0.123", b"12345", b"1e-7", b"-3.5e20", b"0"), format_all)


def _open_access_code(root: Path) -> OpenParser:
    from synthcxr.reader_study import access_codes

    attempts = access_codes.FailedAttempts()

    def digest(data: bytes) -> None:
        try:
            code = data.decode()
        except UnicodeDecodeError:
            return  # a JSON text is UTF-8
        access_codes.compute_code_digest(code)
        attempts.record(access_codes.get_code_group(code))
        attempts.compute_wait_s(code)

    return OpenParser((access_codes.create_access_code().encode(),), digest)


def _open_max_pixels(root: Path) -> OpenParser:
    from synthcxr.data import image_files

    def read(data: bytes) -> None:
        text = decode_text(data)
        if "\0" in text:
            return
        try:
            os.environ[image_files.MAX_PIXELS_VARIABLE] = text
        except UnicodeEncodeError:
            return
        image_files.read_max_pixels()

    return OpenParser((b"1000000", b""), read)


def _open_labels(root: Path) -> OpenParser:
    """The text of a label column, split and without separators, and the view."""
    from synthcxr.data.findings import parse_finding_labels
    from synthcxr.readers import csv_table, label_csv

    def parse(data: bytes) -> None:
        text = decode_text(data)
        csv_table.parse_view(text)
        csv_table.normalise_patient_id(text)
        label_csv.parse_labels(text, separator="|", aliases={"x": "Edema"}, others_absent=True)
        parse_finding_labels(text)

    return OpenParser((b"Edema|Mass", b"No Finding", b"pleural thickening", b"Hernia"), parse)


PARSERS = [
    Parser("redaction", "text", _open_redaction),
    Parser("numbers", "json", _open_numbers),
    Parser("access_code", "text", _open_access_code, share=0.3),
    Parser("max_pixels", "text", _open_max_pixels, share=0.2),
    Parser("label_text", "text", _open_labels, share=0.5),
]
