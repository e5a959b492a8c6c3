"""``lexicell genes evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json, Overwrite

if TYPE_CHECKING:
    from lexicell.evaluation import GeneReport, Prediction

__all__ = ["evaluate"]


def evaluate(
    lexicon: Annotated[
        str, typer.Argument(metavar="LEXICON", help="Bundled name or folder.")
    ] = "human-go-minilm",
    neighbours: Annotated[
        str | None,
        typer.Option(help="Genes whose neighbours to show, as CD3E,INS. Default: some known ones."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(help='Gene sets to predict: "go-bp" (the default), "none", or a .gmt file; repeatable.'),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Picture to draw: .png, .svg or .pdf.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of splits and controls.")] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="Splits of each set, to average over.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Default: one for each processor.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Show how good the vectors of a lexicon are: neighbours, geometry, and what they tell of gene sets.

    Membership of gene sets is predicted for held-out genes, beside controls on the same splits: the vectors
    shuffled over the genes, random ones, and the same texts as bags of words and as sets of GO terms.
    """
    from lexicell.evaluation import GO_SETS, MembershipProtocol, evaluate_genes
    from lexicell.lexicon import Lexicon
    from lexicell.pl import check_figure

    if out is not None:
        check_figure(out, overwrite=overwrite)
    opened = Lexicon.open(lexicon)
    genes = None if neighbours is None else [name.strip() for name in neighbours.split(",") if name.strip()]
    chosen = sets or [GO_SETS]
    with _console.bar("predicting", "sets") as bar:
        report = evaluate_genes(
            opened, neighbours=genes, sets=[name for name in chosen if name != "none"],
            threads=threads, progress=bar, protocol=MembershipProtocol(seed=seed, repeats=repeats),
        )  # fmt: skip
    if out is not None:
        _draw(report, out)
        _console.note(f"drawn: {out}")
    _tell(report)
    if as_json:
        _console.result_json(report.as_dict())
        return
    _show(report)


def _tell(report: GeneReport) -> None:
    for one in report.predictions:
        sets = one.membership.sets
        _console.note(f"{sets.name}: {sets.n_matched:,} of {sets.n_names:,} genes are described")
        if sets.skipped:
            shown = ", ".join(f"{label} ({n})" for label, n in sets.skipped[:5])
            more = ", ..." if len(sets.skipped) > 5 else ""
            _console.note(f"{sets.name}: {len(sets.skipped)} sets of fewer than 20 skipped: {shown}{more}")
        sampled = sum(len(term.positives) > report.protocol.most_genes for term in sets.terms)
        if sampled:
            most = report.protocol.most_genes
            _console.note(
                f"{sets.name}: {sampled} sets have more than {most} genes, of which {most} are drawn"
            )
        if one.leak is not None and one.leak.matters:
            _console.note(
                f"{sets.name}: a set's own name stands in the texts of {one.leak.positives.mean():.0%} of "
                f"its genes and of {one.leak.negatives.mean():.1%} of the others: these texts hold part of "
                "the answer, and the AUROC says how well it was encoded, not what the texts teach"
            )


def _show(report: GeneReport) -> None:
    lexicon = report.lexicon
    _console.result(f"{lexicon.name}: {lexicon.n_genes:,} genes x {lexicon.dim}\n")
    shapes = report.geometry
    rows = [
        (
            "mean cosine of two genes",
            *(f"{round(shape.mean_cosine, 3) + 0.0:.3f}" for shape in shapes.values()),
        ),
        ("effective rank", *(f"{shape.effective_rank:.1f}" for shape in shapes.values())),
        *(
            (
                f"variance in {n} component{'s' * (n > 1)}",
                *(f"{shape.share(n):.1%}" for shape in shapes.values()),
            )
            for n in (1, 5, 10)
        ),
    ]
    _console.table(("geometry", *shapes), rows)
    if report.neighbours:
        _console.result("\nnearest genes (cosine)")
        width = max(len(one.gene) for one in report.neighbours)
        for one in report.neighbours:
            nearest = "  ".join(f"{gene} {cosine:.2f}" for gene, cosine in one.nearest)
            _console.result(f"{one.gene:<{width}}  {nearest}")
    for prediction in report.predictions:
        _show_prediction(prediction)


def _show_prediction(one: Prediction) -> None:
    sets = one.membership.sets
    _console.result(f"\nmembership of {len(sets.terms)} sets, {sets.name}: AUROC of held-out genes")
    rows = [
        (table, *(f"{found[key]:.3f}" for key in ("mean", "median", "lowest", "highest")))
        for table, found in one.summary().items()
    ]
    _console.table(("table", "mean", "median", "lowest", "highest"), rows)


def _draw(report: GeneReport, out: Path) -> None:
    from lexicell import pl

    panels = []
    for one in report.predictions:
        auroc = {table: one.membership.by_term(table) for table in one.membership.tables}
        if one.leak is not None:
            auroc = {"lexicon": auroc.pop("lexicon"), "name in text": one.leak.auroc, **auroc}
        sets = one.membership.sets
        panels.append(pl.AurocPanel(f"{sets.name}, {len(sets.terms)} sets", auroc))
    lexicon = report.lexicon
    pl.gene_table(
        title=f"{lexicon.name}: {lexicon.n_genes:,} genes x {lexicon.dim}",
        panels=panels,
        variance={table: shape.variance for table, shape in report.geometry.items()},
        cosines={table: shape.cosines for table, shape in report.geometry.items()},
        note=lexicon.info.text.attribution,
        show=False,
        save=out,
    )
