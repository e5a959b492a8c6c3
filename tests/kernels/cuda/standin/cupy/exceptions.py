"""As NumPy's."""

from numpy.exceptions import AxisError, ComplexWarning, TooHardError, VisibleDeprecationWarning  # noqa: F401
