"""croissant.json: machine-readable metadata (MLCommons Croissant 1.0), without a time or the name of a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthcxr.config.gan_sections import ConditionPart
from synthcxr.data.condition import find_parts
from synthcxr.data.condition_columns import CONDITION_COLUMNS
from synthcxr.data.findings import FINDINGS
from synthcxr.data.synthetic_dataset import (
    JUDGE_COLUMNS,
    JUDGE_FINDINGS_COLUMN,
    METADATA_FILE,
    PROBABILITY_COLUMNS,
    STEPS_COLUMN,
    TRAIN_DISTANCE_COLUMN,
)
from synthcxr.storage import digests, json_files
from synthcxr.writers.formats.store import FORMATS
from synthcxr.writers.generation_request import GenerationRequest, Origin
from synthcxr.writers.sidecars.latents_npy import LATENTS_FILE

CROISSANT_FILE = "croissant.json"
_CROISSANT_TERMS = (
    "citeAs column dataBiases dataCollection equivalentProperty extract field fileProperty fileObject fileSet format"
    " includes isLiveDataset jsonPath key md5 parentField path personalSensitiveInformation recordSet references regex"
    " repeated replace samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {term: f"cr:{term}" for term in _CROISSANT_TERMS.split()} | {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
}
_COLUMNS = {
    "index": ("sc:Integer", "Number of the candidate; with the seed it names the image's latent."),
    "seed": ("sc:Integer", "Seed of the candidate's random stream."),
    "requested": ("sc:Text", "Findings asked for, joined by |; empty where none was."),
    "Finding Labels": ("sc:Text", "Findings whose probability passes the classifier's threshold, joined by |."),
    **{
        column: ("sc:Float", f"The classifier's probability of {finding}.")
        for column, finding in zip(PROBABILITY_COLUMNS, FINDINGS, strict=True)
    },
    "weight": ("sc:Float", "Importance weight of the image."),
    "sha256": ("sc:Text", "Digest of the image's file."),
}
_COPY_FILTER_COLUMNS = {
    TRAIN_DISTANCE_COLUMN: ("sc:Float", "Distance in pixels to the nearest film that was learned from; 0 is a copy.")
}
_OPTIMISATION_COLUMNS = {
    STEPS_COLUMN: ("sc:Integer", "Steps that the search took from the candidate's latent to the image's.")
}
_JUDGE_COLUMNS = {
    column: ("sc:Float", f"The probability of {finding} by the judge, which did not choose the image.")
    for column, finding in zip(JUDGE_COLUMNS, FINDINGS, strict=True)
} | {JUDGE_FINDINGS_COLUMN: ("sc:Text", "Findings whose judge_ probability passes the judge's threshold, joined by |.")}
_CONDITION_TEXTS: dict[ConditionPart, str] = {
    "findings": "Findings of the generator's condition, joined by |; the labels are in Finding Labels.",
    "view": "View of the generator's condition; empty for unknown.",
    "sex": "Sex of the generator's condition; empty for unknown.",
    "age": "Age of the generator's condition in years, to the nearest 5; empty for unknown.",
}
_STATEMENTS = {
    False: "Synthetic chest X-rays from a generator trained on real films; no image shows a patient.",
    True: "Synthetic images from a generator trained on drawn phantoms. They test the pipeline and are not realistic.",
}


def write_croissant(folder: Path, request: GenerationRequest, origin: Origin) -> None:
    """Describe the dataset in `folder`, in which metadata.csv and latents.npy have been written."""
    digest, requested = request.models["generator"], request.describe_findings() or "no finding"
    sentences = (
        _STATEMENTS[origin.phantom],
        f"{origin.generator.resolution} px, 8-bit grey, seed {request.seed}, {requested} asked for.",
        f"Generator {digest}; labels by classifier {request.models['classifier']}, not by a reader.",
    )
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": f"synthcxr-{digest[:12]}-seed-{request.seed}",
        "description": " ".join(sentences),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": origin.generator.licence,
        "version": "1.0.0",
        "isLiveDataset": False,
        "creator": {"@type": "sc:Organization", "name": "synthcxr"},
        "keywords": ["chest x-ray", "synthetic data", *request.labels],
        "distribution": [
            _describe_file(folder, METADATA_FILE, "text/csv"),
            _describe_file(folder, LATENTS_FILE, "application/octet-stream"),
            _describe_images(request.format),
        ],
        "recordSet": [_describe_records(_optional_columns(request, origin))],
    }
    if origin.attribution:
        description["citeAs"] = "\n".join(origin.attribution)
    json_files.write_json(folder / CROISSANT_FILE, description)


def _optional_columns(request: GenerationRequest, origin: Origin) -> dict[str, tuple[str, str]]:
    columns = _COPY_FILTER_COLUMNS if request.copy_filter else {}
    columns = columns | (_OPTIMISATION_COLUMNS if request.method == "optimise" else {})
    columns = columns | (_JUDGE_COLUMNS if "judge" in request.models else {})
    parts = find_parts(origin.generator.condition, origin.model_name)
    return columns | {CONDITION_COLUMNS[part]: ("sc:Text", _CONDITION_TEXTS[part]) for part in parts}


def _describe_file(folder: Path, name: str, encoding: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{(folder / name).stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": digests.sha256_file(folder / name),
    }


def _describe_images(image_format: str) -> dict[str, Any]:
    declaration = FORMATS.load(image_format)
    return {
        "@type": "cr:FileSet",
        "@id": declaration.folder,
        "name": declaration.folder,
        "encodingFormat": declaration.media_type,
        "includes": f"{declaration.folder}/{declaration.pattern}",
    }


def _describe_records(optional_columns: dict[str, tuple[str, str]]) -> dict[str, Any]:
    columns = {"file_name": ("sc:Text", "The image, relative to this file."), **_COLUMNS, **optional_columns}
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "One row an image.",
        "key": {"@id": "records/file_name"},
        "field": [_describe_column(name, kind, text) for name, (kind, text) in columns.items()],
    }


def _describe_column(column: str, kind: str, text: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"records/{column.replace(' ', '_')}",
        "name": column.replace(" ", "_"),
        "description": text,
        "dataType": kind,
        "source": {"fileObject": {"@id": METADATA_FILE}, "extract": {"column": column}},
    }
