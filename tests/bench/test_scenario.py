import pytest
from bench import scenario
from bench.suites import find

HEADER = "group what data cells k p counts table storage device threads cache\n"
ROW = "{} {} synthetic 1000 128 256 f32 f16 memory cpu all -\n"


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(scenario, "SCENARIOS", tmp_path)

    def write(text):
        (tmp_path / "mine.txt").write_text(HEADER + text)
        return scenario.load("mine")

    return write


def test_a_table_is_read_without_its_comments_and_a_row_says_all_it_is(table):
    first, second = table(
        "# why\n\n" + ROW.format("g", "lexicell") + ROW.format("g", "scipy  ") + "  # end\n"
    )
    assert first.id == "mine g lexicell synthetic 1000 128 256 f32 f16 memory cpu all -"
    assert (second.what, second.group, second.cells, second.cache) == ("scipy", "g", "1000", "-")


def test_a_row_with_a_column_too_few_is_named(table):
    with pytest.raises(ValueError, match=r"mine.txt, line 3: 11"):
        table(ROW.format("g", "lexicell") + ROW.format("g", ""))


def test_the_same_row_twice_is_refused(table):
    with pytest.raises(ValueError, match="there twice"):
        table(ROW.format("g", "lexicell") * 2)


def test_an_unknown_suite_lists_those_there_are(table):
    table("")
    with pytest.raises(ValueError, match="'yours'"):
        scenario.load("yours")


def test_groups_keep_the_order_and_must_not_be_torn(table):
    rows = table(ROW.format("b", "lexicell") + ROW.format("a", "lexicell") + ROW.format("a", "scipy"))
    assert [(name, len(group)) for name, group in scenario.groups(rows)] == [("b", 1), ("a", 2)]
    with pytest.raises(ValueError, match="group 'b' do not follow"):
        list(scenario.groups([*rows, *table(ROW.format("b", "scipy"))]))


@pytest.mark.parametrize("suite", scenario.suites())
def test_the_tables_of_the_project_are_sound_and_have_a_module(suite):
    rows = scenario.load(suite)
    assert rows
    assert [name for name, _ in scenario.groups(rows)]
    assert callable(find(suite).cases)
