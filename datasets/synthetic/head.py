"""Electrodes on a sphere and the potential that a current dipole inside makes there.

Head axes: x to the right ear, y to the nose, z to the vertex; the origin is the centre of the sphere.
"""

from __future__ import annotations

import re

import numpy as np

from harkd.datasets.synthetic.jet import Array
from harkd.errors import unknown

RADIUS = 0.09
"""Of the head, in metres."""
CONDUCTIVITY = 0.33
"""Of the head, in S/m."""

CHANNELS = (
    *("FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "CP5", "CP3", "CP1", "CPz"),
    *("CP2", "CP4", "CP6", "Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2"),
    *("F4", "F6", "F8", "FT7", "FT8", "T7", "T8", "T9", "T10", "TP7", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4"),
    *("P6", "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2", "Iz"),
)
"""The 64 electrodes of EEGMMIDB, in the order of its files."""

# Degrees from the vertex along the midline, towards the nose, and of the row's end along the ring, from the nose.
_ROWS = {"fp": (72, 18), "af": (54, 36), "f": (36, 54), "fc": (18, 72), "ft": (18, 72), "c": (0, 90), "t": (0, 90)} | {
    row: (-angle, 180 - ring)
    for rows, angle, ring in ((("cp", "tp"), 18, 72), (("p",), 36, 54), (("po",), 54, 36), (("o",), 72, 18), (("i",), 90, 0))
    for row in rows
}
_RING = 72.0
"""Degrees from the vertex down to the ring through Fpz, T7, Oz and T8."""


def position(name: str) -> Array:
    """Unit vector (3,) to an electrode of the 10-10 system, by name in any case.

    The midline and the ring are divided into tenths (18 degrees); the electrodes between divide the arc from the one to the
    other: 1, 3, 5, 7 are quarters of it, and 9 is a quarter of a ring below. After J. Malmivuo, R. Plonsey: Bioelectromagnetism,
    Oxford 1995, section 13.3; on a sphere, so a few degrees from any real head.
    """
    match = re.fullmatch(r"([a-z]+?)(z|10|[1-9])", name.lower())
    if not match or match[1] not in _ROWS:
        raise unknown("electrode", name, CHANNELS)
    middle, ring = (np.deg2rad(angle) for angle in _ROWS[match[1]])
    top = np.array([0.0, np.sin(middle), np.cos(middle)])
    if match[2] == "z":
        return top
    number = int(match[2])
    side = 1.0 if number % 2 == 0 else -1.0
    steps = (number + 1) // 2
    low = np.deg2rad(_RING if steps < 5 else 90.0)
    end = np.array([side * np.sin(low) * np.sin(ring), np.sin(low) * np.cos(ring), np.cos(low)])
    # The rows next to the ends of the head are short: Fp1 and O1 stand on the ring itself.
    share = 1.0 if match[1] in ("fp", "o") else min(1.0, steps / 4)
    angle = np.arccos(top @ end)
    return (np.sin((1 - share) * angle) * top + np.sin(share * angle) * end) / np.sin(angle)


def lead_field(electrodes: Array, dipoles: Array, moments: Array) -> Array:
    """Potential at electrodes on a homogeneous conducting sphere, against infinity (its mean over the sphere is zero).

    With r on the surface, r0 inside, d = r - r0 and the unit moment q, the closed form of D. Brody, F. Terry, R. Ideker,
    IEEE Trans. Biomed. Eng. 20 (1973) 141-143 (derived from Neumann's function of the sphere, 2/|d| - ln(..)/R) is::

        V = q . ( 2 d / |d|^3 + (r + R d / |d|) / (R (R^2 - r . r0 + R |d|)) ) / (4 pi sigma)

    Args:
        electrodes: (electrode, 3) unit vectors.
        dipoles: (dipole, 3) positions in head radii, of length below 1.
        moments: (dipole, 3) directions; their length counts.

    Returns:
        (electrode, dipole) in microvolts per nanoampere metre.
    """
    if not (np.linalg.norm(dipoles, axis=1) < 1.0).all():
        raise ValueError("dipoles lie inside the head: their positions are shorter than 1")
    r, r0 = electrodes[:, None] * RADIUS, dipoles[None] * RADIUS
    d = r - r0
    far = np.linalg.norm(d, axis=-1, keepdims=True)
    below = RADIUS * (RADIUS**2 - (r * r0).sum(-1, keepdims=True) + RADIUS * far)
    field = 2.0 * d / far**3 + (r + RADIUS * d / far) / below
    # 1 nA is 1e-9 A and 1 V is 1e6 uV.
    return (field * moments).sum(-1) / (4.0 * np.pi * CONDUCTIVITY) * 1e-3
