"""The section that shows synthetic images, and thumbnails as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import numpy as np
import pandas as pd

from synthcxr.data import images
from synthcxr.data.image_reader import decode_pixels
from synthcxr.data.images import UInt8
from synthcxr.report.section import Grid, Section, Thumbnail
from synthcxr.report.text import spell_labels

MAX_SIDE_PX = 192


def build_images_section(records: pd.DataFrame, files: Iterable[bytes], *, n_total: int) -> Section:
    """Images beside their labels. `records` are the rows of metadata.csv of the image `files`, of `n_total` rows."""
    thumbnails = tuple(
        build_thumbnail(
            decode_pixels(data, name=file_name),
            alt=f"Synthetic chest image, candidate {index}, labelled {spell_labels(labels)}",
            caption=spell_labels(labels),
        )
        for data, file_name, index, labels in zip(
            files, records["file_name"], records["index"], records["Finding Labels"], strict=True
        )
    )
    return Section(
        title="Synthetic images",
        introduction=(
            f"The first {len(thumbnails)} of {n_total:,} images in the order of generation, not selected. The"
            " classifier gave the labels."
        ),
        grid=Grid(thumbnails),
    )


def build_thumbnail(pixels: UInt8, *, alt: str, caption: str) -> Thumbnail:
    """A thumbnail of uint8 pixels [R, R], halved until it has at most MAX_SIDE_PX."""
    side = pixels.shape[0]
    while side > MAX_SIDE_PX:
        side //= 2
    reduced = pixels if side == pixels.shape[0] else resize_pixels(pixels, side)
    data = base64.b64encode(images.encode_png(reduced)).decode("ascii")
    return Thumbnail(source=f"data:image/png;base64,{data}", alt=alt, caption=caption)


def resize_pixels(pixels: UInt8, side: int) -> UInt8:
    """Resize uint8 pixels [R, R] to [side, side]."""
    return images.quantise(images.resize(pixels.astype(np.float32) / np.float32(255), side))
