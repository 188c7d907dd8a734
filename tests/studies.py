"""Real data sets with published or independent results."""

from __future__ import annotations

import numpy as np
from optional import on_demand

sm = on_demand("statsmodels.api")

# Heinze and Schemper (2002), table I: neovascularisation, pulsatility index and
# endometrium height of 79 patients, and whether the tumour has a high grade, as it has
# for all patients with neovascularisation.
_ENDOMETRIAL = """
0 13 164 0 0 16 226 0 0 8 314 0 0 34 268 0 0 20 128 0 0 5 231 0 0 17 180 0 0 10 168 0
0 26 156 0 0 17 231 0 0 8 201 0 0 7 189 0 0 20 315 0 0 10 123 0 0 18 127 0 0 16 176 0
0 18 200 0 0 8 264 1 0 29 88 1 0 12 127 1 0 20 137 1 1 38 97 1 1 22 114 1 1 7 88 1
1 25 91 1 1 15 58 1 0 7 97 1 0 28 150 0 0 11 133 0 0 19 237 0 0 10 182 0 0 10 313 0
0 18 131 0 0 14 192 0 0 21 164 0 0 11 201 0 0 17 188 0 0 25 193 0 0 16 211 0 0 19 129 0
0 15 172 0 0 33 75 0 0 24 192 0 0 48 184 1 0 12 111 1 0 19 161 1 0 2 118 1 1 22 144 1
1 40 118 1 1 5 93 1 1 0 117 1 0 21 119 1 0 15 106 1 0 29 202 0 0 15 229 0 0 12 233 0
0 3 290 0 0 20 170 0 0 23 141 0 0 12 225 0 0 22 154 0 0 42 197 0 0 15 175 0 0 13 216 0
0 14 257 0 0 19 137 0 0 12 361 0 0 13 204 0 0 10 217 0 0 12 169 1 1 49 27 1 0 6 184 1
0 5 130 1 0 17 96 1 1 11 101 1 1 21 98 1 0 5 35 1 1 19 102 1 0 33 85 1
"""

# Urinary tract infections of 239 students, by age and contraceptives (Cytel; sex2 in
# the R package logistf): case, age, oc, vic, vicl, vis, dia and the number of students.
_SEX2 = """
1000010 1  1001000 14  1001010 3  1001100 10  1001110 12  1001111 1  1010000 44
1010001 3  1011000 15  1011001 1  1011010 2  1011100 7  1011110 3  1101000 2
1101010 1  1101011 1  1101100 1  1101111 1  1110000 5  1111000 3  0000010 1
0001000 2  0001010 1  0001100 8  0001110 18  0010000 42  0010010 1  0011000 1
0011100 5  0011110 6  0101100 2  0101110 4  0110000 14  0110010 1  0111000 1
0111110 2
"""


def endometrial() -> tuple[np.ndarray, np.ndarray]:
    """Return features of 79 patients, and whether their tumour has a high grade."""
    values = np.asarray(_ENDOMETRIAL.split(), dtype=float).reshape(-1, 4)
    return values[:, :3] / [1, 1, 100], values[:, 3].astype(int)


def sex2() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, whether an infection occurred, and numbers of students."""
    rows, counts = np.asarray(_SEX2.split()).reshape(-1, 2).T
    values = np.asarray([[float(digit) for digit in row] for row in rows])
    return values[:, 1:], values[:, 0].astype(int), counts.astype(float)


def spector() -> tuple[np.ndarray, np.ndarray]:
    """Return features of 32 students and whether their grades improved, of statsmodels.

    Source: Spector and Mazzeo (1980).
    """
    data = sm.datasets.spector.load()
    return np.asarray(data.exog), np.asarray(data.endog).astype(int)


def anes96() -> tuple[np.ndarray, np.ndarray]:
    """Return features of 944 Americans and their party in seven steps, of statsmodels.

    Source: American National Election Study of 1996.
    """
    data = sm.datasets.anes96.load()
    return np.asarray(data.exog), np.asarray(data.endog).astype(int)


def fair() -> tuple[np.ndarray, np.ndarray]:
    """Return features of 6,366 women and whether they had affairs, of statsmodels.

    Source: Fair (1978).
    """
    data = sm.datasets.fair.load()
    return np.asarray(data.exog), (np.asarray(data.endog) > 0).astype(int)
