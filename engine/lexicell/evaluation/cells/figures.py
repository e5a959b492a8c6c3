"""Pictures of an evaluation, a file for each scenario."""

from __future__ import annotations

from pathlib import Path

from lexicell import pl
from lexicell.evaluation.cells.report import Evaluation

__all__ = ["write_figures"]


def write_figures(evaluation: Evaluation, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Draw a PNG for each scenario by `lexicell.pl.evaluation`.

    Parameters
    ----------
    evaluation
        What to draw.
    folder
        Where; made if need be. Files are called after the scenarios.
    overwrite
        Whether files of these names are replaced.

    Returns
    -------
    list
        Paths of the pictures.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    OutputExistsError
        A picture exists and is not to be replaced.
    WriteError
        The disk is full, or the folder may not be written to.
    """
    drawn = []
    for scenario in dict.fromkeys(line.scenario for line in evaluation.lines()):
        path = pl.check_figure(Path(folder) / f"{scenario}.png", overwrite=overwrite)
        pl.evaluation(evaluation, scenario=scenario, show=False, save=path)
        drawn.append(path)
    return drawn
