"""What learning produces."""

from lexicell.learn.projection import Projection

__all__ = ["Projection"]
