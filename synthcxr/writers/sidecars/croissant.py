"""croissant.json: the dataset described for machines (MLCommons Croissant 1.0), without clock or host in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthcxr.data import findings, records
from synthcxr.storage import digests, json_files
from synthcxr.writers.formats import image_folder, webdataset
from synthcxr.writers.formats.store import DICOM, LATENTS, Format
from synthcxr.writers.generation_request import Request
from synthcxr.writers.sidecars.run_json import Origin

NAME = "croissant.json"
_CR_TERMS = (
    "citeAs column dataBiases dataCollection equivalentProperty extract field fileProperty fileObject fileSet format"
    " includes isLiveDataset jsonPath key md5 parentField path personalSensitiveInformation recordSet references regex"
    " repeated replace samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {term: f"cr:{term}" for term in _CR_TERMS.split()} | {
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
        for column, finding in zip(records.PROBABILITY_COLUMNS, findings.FINDINGS, strict=True)
    },
    "weight": ("sc:Float", "Importance weight of the image."),
    "sha256": ("sc:Text", "Digest of the image's file."),
}
_APART = {
    records.TRAIN_DISTANCE: ("sc:Float", "Distance in pixels to the nearest film that was learned from; 0 is a copy.")
}
_SEARCHED = {records.STEPS: ("sc:Integer", "Steps that the search took from the candidate's latent to the image's.")}
_JUDGED = {
    column: ("sc:Float", f"The probability of {finding} by the judge, which did not choose the image.")
    for column, finding in zip(records.JUDGE_COLUMNS, findings.FINDINGS, strict=True)
}
_PLACES: dict[Format, tuple[str, str, str]] = {
    "png": (image_folder.FOLDER, "*/*.png", "image/png"),
    "dicom": (DICOM, "*/*.dcm", "application/dicom"),
    "webdataset": (webdataset.FOLDER, "*.tar", "application/x-tar"),
}
_STATEMENTS = {
    False: "Synthetic chest X-rays from a generator trained on real films; no image shows a patient.",
    True: "Synthetic images from a generator trained on drawn phantoms: they prove a pipeline and never realism.",
}


def write(folder: Path, request: Request, origin: Origin) -> None:
    """Describe the dataset in `folder`, whose metadata.csv and latents.npy are written."""
    digest, asked = request.models["generator"], request.asked or "no finding"
    sentences = (
        _STATEMENTS[origin.phantom],
        f"{origin.generator.resolution} px, 8-bit grey, seed {request.seed}, {asked} asked for.",
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
            _file(folder, records.METADATA, "text/csv"),
            _file(folder, LATENTS, "application/octet-stream"),
            *_image_files(request.format),
        ],
        "recordSet": [_record_set(_also(request))],
    }
    if origin.attribution:
        description["citeAs"] = "\n".join(origin.attribution)
    json_files.write_json(folder / NAME, description)


def _also(request: Request) -> dict[str, tuple[str, str]]:
    """The columns that not every dataset has."""
    held = _APART if request.apart else {}
    held = held | (_SEARCHED if request.method == "optimise" else {})
    return held | (_JUDGED if "judge" in request.models else {})


def _file(folder: Path, name: str, encoding: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{(folder / name).stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": digests.sha256_file(folder / name),
    }


def _image_files(form: Format) -> list[dict[str, Any]]:
    name, within, encoding = _PLACES[form]
    includes = f"{name}/{within}"
    return [{"@type": "cr:FileSet", "@id": name, "name": name, "encodingFormat": encoding, "includes": includes}]


def _record_set(also: dict[str, tuple[str, str]]) -> dict[str, Any]:
    named = {"file_name": ("sc:Text", "The image, relative to this file."), **_COLUMNS, **also}
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "One row an image.",
        "key": {"@id": "records/file_name"},
        "field": [_field(name, kind, text) for name, (kind, text) in named.items()],
    }


def _field(column: str, kind: str, text: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"records/{column.replace(' ', '_')}",
        "name": column.replace(" ", "_"),
        "description": text,
        "dataType": kind,
        "source": {"fileObject": {"@id": records.METADATA}, "extract": {"column": column}},
    }
