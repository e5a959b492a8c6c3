"""Enough for scaling rows."""

import numpy as np

from cupy._array import lift

norm = lift(np.linalg.norm)
