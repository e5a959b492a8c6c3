"""Exports: what others can run or read without lexicell."""

from lexicell.exports.api import export
from lexicell.exports.cell_onnx import export_cell
from lexicell.exports.formats import FORMATS, Format
from lexicell.exports.run import Exported

__all__ = ["FORMATS", "Exported", "Format", "export", "export_cell"]
