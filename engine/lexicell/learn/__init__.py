"""What learning produces."""

from lexicell.projection import Projection

__all__ = ["Projection"]
