import re
from html import escape
from pathlib import Path

import pytest
from bench import record, report
from bench.report import figures, page, select, tables, words
from matplotlib.figure import Figure
from tests.bench import sample_runs as sample

ROOT = Path(__file__).parents[2]
MARKED = f"# A\n\n{tables.BEGIN}\nold\n{tables.END}\n\nafter\n"


@pytest.fixture(scope="module")
def history():
    """Three runs, the second on another machine."""
    other = sample.EPYC | {"cpu": "Intel Xeon", "cpus": 8}
    return [
        *sample.run_of([sample.kernel()], "00000001", day=12),
        *sample.run_of([sample.kernel()], "00000002", day=13, machine=other),
        *sample.run_of(sample.everything(), "00000003"),
    ]


@pytest.fixture(scope="module")
def one_run():
    """All that the README and its figures show."""
    return sample.run_of(
        [sample.kernel(), sample.scaling()[0], sample.ranking(), sample.read(), sample.embed()]
    )


@pytest.fixture(scope="module")
def html(history):
    return page.render(history)


@pytest.fixture
def report_of(tmp_path):
    """Runs `bench report` on records beside a README with markers; files lie in its `folder`."""

    def run(records, *words, text=MARKED):
        (tmp_path / "records.jsonl").unlink(missing_ok=True)
        record.append(records, tmp_path / "records.jsonl")
        for name in ("README.md", "docs.md"):
            if not (tmp_path / name).exists():
                (tmp_path / name).write_text(text)
        named = {"records": "records.jsonl", "out": "page.html", "svg": "images"}
        named |= {"readme": "README.md", "docs": "docs.md"}
        places = [word for name, file in named.items() for word in (f"--{name}", str(tmp_path / file))]
        return report.main([*places, *words])

    run.folder = tmp_path
    return run


def test_without_records_one_sentence_says_what_to_do(tmp_path, capsys):
    assert report.main(["--records", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "p.html")]) == 2
    assert (
        capsys.readouterr().err == f"{tmp_path / 'none.jsonl'} holds no records; run python -m bench first\n"
    )
    assert not (tmp_path / "p.html").exists()


def test_the_page_says_how_fast_on_what_and_where_we_lose(html):
    top = html[html.index("<header>") : html.index("</header>")]
    for said in ("cells a second", "AMD EPYC (family 25, model 17), 2 CPUs", "22 November 2026", "65e1e480"):
        assert said in top
    assert "In 2 of 11 comparisons the peer is faster" in top
    assert top.count("annbatch, loading only") == 2
    assert html.count('<tr class="lose">') == 2


def test_a_row_without_a_number_says_why(html):
    assert "no number: needs annbatch under Python 3.12: none was found" in html


def test_nothing_in_a_record_becomes_markup_or_a_formula():
    hostile = "<script>alert(1)</script> & $x_1$ \\"
    rows = [*sample.kernel(), sample.peer("kernel", "synthetic", hostile, 500, fairness=hostile)]
    rows.append(sample.missing("kernel", "synthetic", f"empty {hostile}", hostile))
    html = page.render([*sample.run_of([rows], "00000001"), *sample.run_of([rows], "00000002")])
    assert "<script" not in html
    assert html.count(f"{escape(hostile)}</text>") == 2


def test_the_page_needs_no_other_file(html):
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "url(http" not in html
    assert "@import" not in html
    assert html.count("<figure") == 1 + 2 + 3 + 7


def test_the_share_of_a_run_is_a_median_of_quotients_within_a_round():
    made = sample.run_of([sample.embed()], rounds=2)
    for row, seconds in zip(made, ([2.0, 4.0], [1.0, 1.0], [0.5, 1.0]), strict=False):
        row |= {"seconds": seconds, "n": 100}
    (whole,) = select.wholes(made)
    assert whole.share == pytest.approx((0.75 + 0.5) / 2)
    assert whole.limit == pytest.approx(1 / (1 / made[1]["rate"] + 1 / made[2]["rate"]))


def test_reading_is_that_of_the_same_file_in_the_same_cache():
    made = sample.run_of([[*sample.embed("h5ad", 24_000), *sample.embed("packed", 71_000)]])
    for row in made:
        row["scenario"]["group"] = "all"
    made.append(made[0] | {"scenario": made[0]["scenario"] | {"cache": "cold"}})
    warm, packed, cold = select.wholes(made)
    assert (warm.read["label"], warm.read["scenario"]["storage"]) == ("reading alone", "h5ad")
    assert packed.read["scenario"]["storage"] == "packed"
    assert (cold.read, cold.limit, cold.share) == (None, None, None)
    assert cold.compute is not None


def test_curves_give_the_cost_of_a_cell_or_the_rate_along_threads():
    cells, threads, genes = select.curves(sample.run_of(sample.scaling()))
    (points,) = cells.lines.values()
    assert [point.at for point in points] == [10_000, 100_000, 1_000_000]
    assert all(point.low <= point.value <= point.high for point in points)
    assert points[0].value == pytest.approx(1e6 / points[0].record["rate"])
    (points,) = threads.lines.values()
    assert [point.at for point in points] == [1, 2]
    assert points[1].value == points[1].record["rate"] > 1.7 * points[0].value
    (points,) = genes.lines.values()
    assert [point.at for point in points] == [32, 128, 512, float("inf")]


def test_bytes_of_a_cell_are_told_as_input_and_output():
    embed, pack = (
        sample.run_of([sample.embed()])[0] | {"facts": facts}
        for facts in (
            {"bytes_per_cell": 5_120, "bytes_per_cell_out": 530, "peak_mb": 529.1},
            {"bytes_per_cell_in": 6_600, "bytes_per_cell": 5_120},
        )
    )
    html = page.render([embed, pack])
    shown = re.findall(
        r'data-name="bytes a cell, input ">([\d,]+)</td>\s*<td data-name="output ">([\d,]+)<', html
    )
    assert shown == [("5,120", "530"), ("6,600", "5,120")]
    assert html.count('data-name="peak memory "') == 1


def test_a_trend_joins_runs_of_one_machine_only(history):
    trend = select.trends(history, select.latest(history))[0]
    figure = Figure()
    figures.trend(figure, trend)
    lines = [list(line.get_xdata()) for line in figure.axes[0].lines]
    assert lines == [[0, 2], [1]]


def test_the_readme_gets_the_fastest_peer_of_each_group(one_run, report_of):
    assert report_of(one_run) == 0
    lines = (report_of.folder / "README.md").read_text().splitlines()
    groups = [line for line in lines if re.match(r"\| (kernel|ranking|read|embed)", line)]
    ratios = {row["scenario"]["suite"]: [] for row in one_run if row["peer"] and row["ratio"] is not None}
    for row in one_run:
        if row["peer"] and row["ratio"] is not None:
            ratios[row["scenario"]["suite"]].append(row["ratio"])
    shown = [line.split("|")[-2].strip().strip("*") for line in groups]
    assert shown == [words.verdict(min(found)) for found in ratios.values()]
    assert any("slower" in verdict for verdict in shown)


def test_the_page_of_benchmarks_gets_every_peer_won_or_lost(one_run, report_of):
    assert report_of(one_run) == 0
    text = (report_of.folder / "docs.md").read_text()
    assert text.startswith("# A\n\n<!-- bench:speed -->\n")
    assert text.endswith("<!-- /bench:speed -->\n\nafter\n")
    assert "AMD EPYC (family 25, model 17), 2 CPUs; 22 November 2026, commit 65e1e480" in text
    assert len(re.findall(r"\| \d+x faster \|", text)) == 9
    assert len(re.findall(r"\| \*\*1\.\d+x slower\*\* \|", text)) == 1
    assert "| annbatch Loader: needs annbatch under Python 3.12: none was found | | no number |" in text


def test_a_row_that_we_lose_is_shown_whatever_its_group(report_of):
    groups = [
        *sample.everything(),
        [sample.ours("read", "cold", "lexicell, cold", 10_000), sample.peer("read", "cold", "fast", 20_000)],
    ]
    groups.append(
        [sample.ours("read", "pbmc3k", "lexicell, few", 10_000), sample.peer("read", "pbmc3k", "slow", 5_000)]
    )
    assert report_of(sample.run_of(groups)) == 0
    assert re.search(r"\| fast, [\d,]+ cells/s \| \*\*", (report_of.folder / "README.md").read_text())
    text = (report_of.folder / "docs.md").read_text()
    assert re.search(r"\| fast \| [\d,]+ cells/s \| \*\*[12](\.\d)?x slower\*\* \|", text)
    assert "| slow |" not in text


def test_other_models_and_tokens_are_in_the_whole_table(report_of):
    run = sample.run_of([sample.kernel(), sample.models(), sample.tokens()])
    once = next(row for row in run if row["label"] == "scanpy.pp.pca, fitted")
    once["seconds"] = once["seconds"][:1]
    assert report_of(run) == 0
    text = (report_of.folder / "docs.md").read_text()
    table = text[text.index("lexicell, models") :].splitlines()
    assert table.index("") == 7  # two headlines, and rows that lack a GPU are left out
    assert (
        "| **lexicell, models: 100,000 synthetic cells, top 128 genes, 256 dimensions, AnnData-Zarr** |"
        in text
    )
    assert re.search(r"\| pretrained PCA, scipy \| [\d,]+ cells/s \| 3\.\dx faster \|", text)
    assert re.search(r"\*\*lexicell, tokens: .* \| \*\*[\d,]+ tokens/s\*\* \|", text)
    assert "| SLAF's loader: no folder with slaf was given | | no number |" in text
    assert "rapids" not in text
    assert "medians of 1 to 5 rounds, by" in text


def test_check_writes_nothing_and_fails_on_a_stale_table(one_run, report_of, capsys):
    assert report_of(one_run, "--check") == 1
    assert "is not what the records give" in capsys.readouterr().err
    assert sorted(path.name for path in report_of.folder.iterdir()) == [
        "README.md",
        "docs.md",
        "records.jsonl",
    ]
    assert report_of(one_run) == 0
    assert report_of(one_run, "--check") == 0


def test_a_readme_without_markers_is_left_alone(one_run, report_of, capsys):
    assert report_of(one_run, text="# A\n") == 0
    assert "is left as it is: there is no <!-- bench:speed -->" in capsys.readouterr().err
    assert (report_of.folder / "README.md").read_text() == "# A\n"
    assert report_of(one_run, "--check") == 1


def test_the_readme_shows_the_last_full_run_without_changes():
    full = [*sample.run_of(sample.everything(), "00000001"), *sample.run_of(sample.everything(), "00000002")]
    later = [
        *sample.run_of([sample.kernel()], "00000003"),
        *sample.run_of(sample.everything(), "00000004", dirty=True),
    ]
    assert select.readme_run([*full, *later])[0]["run"] == "00000002"
    assert select.readme_run(later)[0]["run"] == "00000004"
    assert select.readme_run(sample.run_of(sample.scaling())) == []


def test_the_figures_are_the_same_bytes_each_time(one_run, report_of):
    report_of(one_run)
    first = {path.name: path.read_bytes() for path in (report_of.folder / "images").iterdir()}
    report_of(one_run)
    assert {path.name: path.read_bytes() for path in (report_of.folder / "images").iterdir()} == first
    assert sorted(first) == ["scaling.svg", "speed.svg"]


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(554.2, "554x faster"), (6.58, "6.6x faster"), (1.18, "1.18x faster"), (1.001, "as fast"),
     (0.845, "1.18x slower"), (0.1, "10x slower")],
)  # fmt: skip
def test_a_ratio_in_words(ratio, said):
    assert words.verdict(ratio) == said


def test_the_readme_of_the_repository_is_what_its_records_give():
    if tables.BEGIN not in (ROOT / "README.md").read_text() or not record.load():
        pytest.skip("no markers in README.md, or no records yet")
    assert report.main(["--check"]) == 0
