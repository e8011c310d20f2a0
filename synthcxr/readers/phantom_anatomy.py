"""The anatomical parameters of one phantom: those of the patient and those of the film.

Lengths are in half sides of the film: x runs from -1 (the patient's right) to 1, y from -1 (head) to 1. Pairs are
(patient's right, patient's left). Densities are attenuations: brightness is 1 - exp(-density).
"""

from __future__ import annotations

import dataclasses

import numpy as np

Pair = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """One chest on one film, without findings."""

    thorax_half_width: float
    apex: float
    widest_level: float
    diaphragm: Pair
    dome: Pair
    mediastinum_half_width: float
    mediastinal_shift: float
    cardiothoracic_ratio: float
    aortic_knob_radius: float
    rib_period: float
    rib_phase: float
    rib_width: float
    bone_density: float
    shoulder: float
    torso_half_width: float
    tissue_density: float
    breast_density: float
    lung_air: float
    vessel_density: float
    gastric_bubble: float
    scapula_density: float
    rotation: float
    spine_bend: float
    scale: float
    offset: Pair
    gain: float
    gamma: float
    grain_amplitude: float
    marker: Pair


def sample_anatomy(patient: np.random.Generator, film: np.random.Generator, *, view: str) -> Anatomy:
    """Sample the patient's build, and the film's pose and exposure. An AP film shows a patient in bed.

    AP: larger heart and mediastinum (closer to the tube), higher diaphragm, scapulae over the lungs, less contrast.
    """
    in_bed = view == "AP"
    breath = film.normal(0.0, 0.04) - (0.08 if in_bed else 0.0)
    level = patient.normal(0.45, 0.06) + breath
    dome = patient.uniform(0.13, 0.22)
    return Anatomy(
        thorax_half_width=patient.uniform(0.64, 0.76),
        apex=patient.normal(-0.78, 0.035),
        widest_level=patient.uniform(0.05, 0.25),
        diaphragm=(level - patient.uniform(0.02, 0.08), level),
        dome=(dome, dome * patient.uniform(0.8, 1.1)),
        mediastinum_half_width=patient.uniform(0.12, 0.155) * (1.15 if in_bed else 1.0),
        mediastinal_shift=film.normal(0.0, 0.012),
        cardiothoracic_ratio=patient.uniform(0.40, 0.48) + (0.03 if in_bed else 0.0),
        aortic_knob_radius=patient.uniform(0.06, 0.11),
        rib_period=patient.uniform(0.135, 0.165),
        rib_phase=patient.uniform(0.0, 1.0),
        rib_width=patient.uniform(0.024, 0.032),
        bone_density=patient.uniform(0.8, 1.25),
        shoulder=patient.uniform(0.30, 0.50),
        torso_half_width=patient.uniform(0.84, 1.05),
        tissue_density=patient.uniform(0.80, 1.05) + (0.08 if in_bed else 0.0),
        breast_density=max(0.0, patient.uniform(-0.16, 0.16)),
        lung_air=patient.uniform(0.56, 0.68),
        vessel_density=patient.uniform(0.05, 0.08),
        gastric_bubble=max(0.0, film.uniform(-0.6, 0.6)),
        scapula_density=film.uniform(0.12, 0.20) if in_bed else film.uniform(0.0, 0.06),
        rotation=film.normal(0.0, 0.025 if in_bed else 0.015),
        spine_bend=patient.normal(0.0, 0.015),
        scale=film.uniform(0.94, 1.06),
        offset=(film.normal(0.0, 0.025), film.normal(0.0, 0.04)),
        gain=film.uniform(0.90, 1.04),
        gamma=film.uniform(0.75, 1.0) if in_bed else film.uniform(0.85, 1.2),
        grain_amplitude=film.uniform(0.006, 0.016),
        marker=(film.uniform(0.70, 0.90), film.uniform(-0.92, -0.75)),
    )
