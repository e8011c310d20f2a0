"""Write the report: one HTML file that lets a reviewer decide, and a private one beside it where films may show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcxr.config.schema import ReportConfig
from synthcxr.data import image_reader, images
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, NO_FINDING
from synthcxr.data.images import UInt8
from synthcxr.data.synthetic_dataset import read_metadata, read_run
from synthcxr.errors import DataError
from synthcxr.report import classifier, findings, html, memorisation, nearest_films, other_metrics, plots, text
from synthcxr.report import optional_experiments as trials
from synthcxr.storage import atomic, json_files

PRIVATE = "report-private.html"
_PRIVATE = "Private: this file shows real films of patients. Do not share it; the report beside it shows none."
_DRAWN = "This file shows the drawn films that the models learned from; the report beside it shows none."
_N_PAIRS = 12
_LEARNED_FROM, _TEST = ("train", "judge"), ("test",)
_BATCH = 256


def run(config: ReportConfig, *, results: Path, dataset: Path, out: Path, with_films: Path | None) -> tuple[Path, ...]:
    """Write `out` and, given a packed dataset `with_films`, report-private.html beside it; returns what was written.

    Reads `results` and the synthetic `dataset` only. Ends by logging `out`, never the private file, to the MLflow
    run that results/registered.json names, where there is one.
    """
    found = _read(results, dataset)
    public = _report(config, found)
    atomic.write_text(out, html.render(public))
    written = [out]
    if with_films:
        films = open_film_dataset(with_films)
        private = dataclasses.replace(
            public,
            private=_DRAWN if films.phantom else _PRIVATE,
            grids=(*public.grids, *_film_grids(found, films, config)),
        )
        written.append(out.with_name(PRIVATE))
        atomic.write_text(written[-1], html.render(private))
    if found.registered:
        _log_to_run(found, found.registered, out)
    return tuple(written)


def _log_to_run(found: _Found, registered: Mapping[str, Any], out: Path) -> None:
    """Log the report, and what disturb and utility found: to the generator's and the judge's version, or the run."""
    from synthcxr.registry import (  # MLflow takes seconds to import: a report alone needs none of it
        publish,
        run_metrics,
    )

    later = []
    if used := found.trials.utility:
        figures = {name: used[name] for name in ("arms", "differences", "n_test", "n_patients")}
        points = run_metrics.flatten_metrics(figures, "utility")
        later.append(publish.ModelMetrics("synthcxr-generator", used["generator"], tuple(points)))
    for name, held in found.trials.disturb.items():
        figures = {"disturbances": held["disturbances"], "passed": int(held["passed"])}
        points = run_metrics.flatten_metrics(figures, f"disturb.{name}")
        later.append(publish.ModelMetrics("synthcxr-judge" if name == "judge" else None, held["digest"], tuple(points)))
    publish.add_to_run(registered["run_id"], out, versions=registered["versions"], metrics=later)


@dataclasses.dataclass(frozen=True)
class _Found:
    """What the report is made of, as read."""

    dataset: Path
    records: pd.DataFrame
    run: dict[str, Any]
    metrics: dict[str, Any]
    verdict: dict[str, Any]
    registered: dict[str, Any] | None
    logs: dict[str, pd.DataFrame]
    together: pd.DataFrame
    trials: trials.Trials


def _read(results: Path, dataset: Path) -> _Found:
    for name in ("metrics.json", "verdict.json"):
        if not (results / name).is_file():
            raise DataError(f"{results}: holds no {name}; run `synthcxr evaluate` first")
    registered, metrics = results / "registered.json", json_files.read_json(results / "metrics.json")
    return _Found(
        dataset=dataset,
        records=read_metadata(dataset),
        run=read_run(dataset),
        metrics=metrics,
        verdict=json_files.read_json(results / "verdict.json"),
        registered=json_files.read_json(registered) if registered.is_file() else None,
        logs={name: log for name in ("gan", "classifier", "judge") if len(log := _log(results / f"train_{name}.csv"))},
        together=_log(results / "curves" / "cooccurrence.csv"),
        trials=trials.read(results, metrics),
    )


def _log(path: Path) -> pd.DataFrame:
    """A table of results; empty where what writes it was not run here."""
    return pd.read_csv(path) if path.is_file() else pd.DataFrame()


def _report(config: ReportConfig, found: _Found) -> html.Report:
    try:
        table, notes = text.distances(found.metrics)
        return html.Report(
            title=config.title,
            private="",
            verdict=text.verdict(found.verdict),
            warnings=text.warnings(run=found.run, metrics=found.metrics, held=found.verdict),
            summary=text.summary(run=found.run),
            grids=(_synthetic_grid(found, config.n_images),),
            label_plot=_label_plot(findings.shares(found.metrics["labels"])),
            label_table=findings.table(found.metrics["labels"]),
            label_notes=findings.notes(found.metrics["labels"]),
            together_plot=_together_plot(found.together),
            by_finding=findings.distances(found.metrics.get("by_finding", {})),
            agreement=classifier.agreement(found.metrics.get("agreement", {}), found.run["request"]["labels"]),
            ranking=classifier.ranking(found.metrics.get("classifier", {})),
            labeller_notes=classifier.notes(found.metrics),
            distances=table,
            distance_notes=notes,
            disturbed=trials.disturbed(found.trials.disturb),
            disturbed_plot=_disturbed_plot(found.trials.disturb),
            disturbed_notes=trials.disturbed_notes(found.trials.disturb),
            utility=trials.utility(found.trials.utility),
            utility_plot=_utility_plot(found.trials.utility),
            utility_notes=trials.utility_notes(found.trials.utility),
            diversity=other_metrics.table(found.metrics),
            diversity_notes=other_metrics.notes(found.metrics),
            copies=memorisation.table(found.metrics.get("privacy", {})),
            copy_notes=memorisation.notes(found.metrics.get("privacy", {})),
            pairs=memorisation.pairs(found.metrics.get("privacy", {})),
            training=_training_plots(found.logs),
            checks=text.checks(found.metrics["checks"]),
            provenance=(
                *text.provenance(found.run),
                *text.extractors(found.metrics),
                *text.registration(found.registered),
            ),
            protocol=text.protocol(found.metrics),
            attribution=tuple(found.run["model"].get("attribution", ())),
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"results and {found.dataset} are of another version ({error!r}); evaluate again") from error


def _synthetic_grid(found: _Found, n: int) -> html.Grid:
    rows = found.records.head(n)
    shown = [
        html.picture(
            image_reader.decode_pixels(data),
            alt=f"Synthetic chest image, candidate {index}, labelled {_spoken(held)}",
            caption=_spoken(held),
        )
        for data, index, held in zip(
            image_reader.read_all(found.dataset, rows["file_name"]), rows["index"], rows["Finding Labels"], strict=True
        )
    ]
    note = (
        f"The first {len(shown)} of {len(found.records):,} in the order drawn, none picked; labelled by the classifier."
    )
    return html.Grid(title="Synthetic images", note=note, pictures=tuple(shown))


def _spoken(joined: str) -> str:
    return joined.replace(LABEL_SEPARATOR, ", ").replace("_", " ")


def _label_plot(shares: Mapping[str, Mapping[str, Any]]) -> html.Plot | None:
    if not shares:
        return None
    shown = {name: share for name, share in shares.items() if name != NO_FINDING}
    alt = "; ".join(
        f"{name} real {_percent(s['real'])}, synthetic {_percent(s['synthetic'])}" for name, s in shown.items()
    )
    return html.plot(
        plots.label_shares(shown), title="Share of images with each finding", alt=f"Share of images: {alt}"
    )


def _together_plot(table: pd.DataFrame) -> html.Plot | None:
    if table.empty:
        return None
    sides = []
    for side in ("real", "synthetic"):
        held = table.pivot_table(side, "finding", "with").reindex(FINDINGS)[list(FINDINGS)].fillna(0.0)
        upper = np.triu(held.to_numpy(), k=1)
        sides.append(upper + upper.T)
    apart = table[table["finding"] != table["with"]]
    most = apart.iloc[int((apart["synthetic"] - apart["real"]).abs().to_numpy().argmax())]
    alt = (
        f"Share of images with both of two findings; the pair that differs most is {most['finding']} with"
        f" {most['with']}: real {_percent(most['real'])}, synthetic {_percent(most['synthetic'])}"
    )
    return html.plot(
        plots.cooccurrence(FINDINGS, *sides), title="Which findings come together", alt=alt.replace("_", " ")
    )


def _disturbed_plot(held: Mapping[str, Any]) -> html.Plot | None:
    if not held:
        return None
    curves = {name: each["disturbances"] for name, each in held.items()}
    said = "; ".join(
        f"{name} {'grows' if each['passed'] else 'does not grow'} at every step" for name, each in held.items()
    )
    title = "Distance of disturbed real films, by level"
    return html.plot(plots.disturbances(curves), title=title, alt=f"Distance over level of six disturbances: {said}")


def _utility_plot(held: Mapping[str, Any]) -> html.Plot | None:
    if not held:
        return None
    arms = trials.arms(held)
    said = "; ".join(f"{name} {ranks['mean']['value']:.3f}" for name, ranks in arms.items())
    title = "AUROC on real test films, by what was learned from"
    return html.plot(plots.utility(arms), title=title, alt=f"Mean AUROC on real test films: {said}")


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.1f} %"


def _training_plots(logs: Mapping[str, pd.DataFrame]) -> tuple[html.Plot, ...]:
    shown = []
    if "gan" in logs:
        last = logs["gan"].iloc[-1]
        at = f"after {int(last['nimg']):,} images shown"
        alt = f"Losses {at}: discriminator {last['loss_d']:.3g}, generator {last['loss_g']:.3g}"
        shown.append(html.plot(plots.gan_losses(logs["gan"]), title="GAN: losses", alt=alt))
        alt = f"Speed {at}: {last['images_per_s']:.3g} images a second"
        shown.append(html.plot(plots.gan_speed(logs["gan"]), title="GAN: images a second", alt=alt))
    judged = {name: logs[name] for name in ("classifier", "judge") if name in logs}
    if judged:
        best = ", ".join(f"{name} {log['val_auroc_mean'].max():.3f} at best" for name, log in judged.items())
        title = "Classifier and judge: mean AUROC on val films"
        shown.append(html.plot(plots.auroc(judged), title=title, alt=f"Mean AUROC on val films: {best}"))
    return tuple(shown)


def _film_grids(found: _Found, films: FilmDataset, config: ReportConfig) -> tuple[html.Grid, html.Grid]:
    """The closest pairs of images and films, or the first images beside their nearest films; and test films alone."""
    side = min(films.resolution, int(found.run["model"]["resolution"]))
    pixels, test = films.memmap(side), films.indices(side, _TEST)
    alone = tuple(html.picture(pixels[at], alt="real test film", caption="real") for at in test[: config.n_images])
    return (
        _closest_grid(found, films, side) or _beside_grid(found, films, side),
        html.Grid(title="Real test films", note=f"The first {len(alone)} of {len(test):,}.", pictures=alone),
    )


def _closest_grid(found: _Found, films: FilmDataset, side: int) -> html.Grid | None:
    """The closest pairs that `evaluate` found in pixels; None where it looked for none among these films."""
    pairs = found.metrics.get("privacy", {}).get("pixels", {}).get("pairs", ())
    if not pairs or found.run["model"]["training_data"] != films.fingerprint:
        return None
    shown = []
    for pair, png in zip(pairs, image_reader.read_all(found.dataset, [pair["image"] for pair in pairs]), strict=True):
        made = f"synthetic, at {pair['distance']:.3g}"
        shown.append(html.picture(_at(image_reader.decode_pixels(png), side), alt="synthetic image", caption=made))
        film = _film(films, pair["film"], side)
        shown.append(html.picture(film, alt="its nearest film", caption=f"film {pair['film']}"))
    note = f"The {len(pairs)} closest in pixels, the closest first; of all films that the generator learned from."
    return html.Grid(title="The closest pairs", note=note, pictures=tuple(shown), columns=4)


def _film(films: FilmDataset, row: int, side: int) -> UInt8:
    """The film of a manifest row, at `side` px or at the largest packed size that it reaches."""
    rows = films.rows(side)
    at = int(np.searchsorted(rows, row))
    if at == len(rows) or rows[at] != row:
        return _film(films, row, side // 2)
    return np.asarray(films.memmap(side)[at])


def _beside_grid(found: _Found, films: FilmDataset, side: int) -> html.Grid:
    """The first synthetic images beside the films nearest to them."""
    held = image_reader.read_all(found.dataset, found.records["file_name"].head(_N_PAIRS))
    synthetic = np.stack([_at(image_reader.decode_pixels(data), side) for data in held])
    pairs = zip(
        synthetic, _nearest(films, side, _LEARNED_FROM, synthetic), _nearest(films, side, _TEST, synthetic), strict=True
    )
    kinds = ("synthetic", "nearest film it learned from", "nearest test film")
    beside = tuple(
        html.picture(shown, alt=kind, caption=kind) for row in pairs for shown, kind in zip(row, kinds, strict=True)
    )
    near = f"Nearest by pixels at {nearest_films.SIDE_PX} px or less, brightness and contrast set aside."
    return html.Grid(title="Beside the nearest real films", note=near, pictures=beside, columns=3)


def _nearest(films: FilmDataset, side: int, splits: tuple[str, ...], synthetic: UInt8) -> UInt8:
    """The film of these splits nearest to each synthetic image, [n, side, side]; a batch is read at a time."""
    pixels, at = films.memmap(side), films.indices(side, splits)
    batches = (np.asarray(pixels[at[start : start + _BATCH]]) for start in range(0, len(at), _BATCH))
    return np.asarray(pixels[at[nearest_films.nearest(synthetic=synthetic, films=batches)]])


def _at(pixels: UInt8, side: int) -> UInt8:
    return images.quantise(images.resize(pixels.astype(np.float32) / np.float32(255), side))
