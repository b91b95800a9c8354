"""Tables of one's own: reading, the proposed recipe, its file; and bad tables, which are in corpus/bad_tables.json."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
import torch
from running_service import ROOT

from service.errors import DigitalisError
from service.settings import Settings
from training.__main__ import parser
from training.errors import BadRecipe, DataUnavailable
from training.networks.scaling import ColumnEncoding
from training.recipes.proposal import Proposal
from training.recipes.recipe_file import read_recipe, write_recipe
from training.recipes.table import TableColumn
from training.tables import reading
from training.tables.numbers import parse_numbers, what_was_removed
from training.tables.proposal import propose
from training.tables.reading import Format, read_table
from training.tables.table_dataset import TableDataset
from training.train_command import train_recipes

BAD_TABLES = json.loads((ROOT / "tests/corpus/bad_tables.json").read_text())


def table_of(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def customers(rows: int = 300) -> str:
    """A table with all kinds of columns, whose target follows from three of them."""
    generator = random.Random(0)
    lines = ["customer_id,age,plan,visits,country,joined,note,tier"]
    for i in range(rows):
        plan, visits = generator.choice(("basic", "plus", "pro")), generator.randint(0, 40)
        age = "" if generator.random() < 0.1 else str(generator.randint(18, 80))
        country = generator.choice(("CH", "DE", "TR", "NA"))
        tier = "gold" if visits > 20 + 10 * (plan == "basic") else "silver"
        lines.append(f"C{i:05},{age},{plan},{visits},{country},2026-01-{1 + i % 28:02},x,{tier}")
    return "\n".join(lines)


# Reading.


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\n1.5,x\n2.5,y\n", Format(",", ".", "utf-8")),
        (b"a;b\n1,5;x\n2,5;y\n", Format(";", ",", "utf-8")),
        (b"\xef\xbb\xbfa\tb\r\n1.5\tx\r\n2.5\ty\r\n", Format("\t", ".", "utf-8")),
        ("a|b\n1.5|x\n2.5|y\n".encode("utf-16"), Format("|", ".", "utf-16")),
        ("a;b\n1,5;é\n2,5;y\n".encode("cp1252"), Format(";", ",", "cp1252")),
    ],
    ids=["plain", "decimal comma", "tab and byte order mark", "UTF-16", "Windows-1252"],
)
def test_delimiter_decimal_and_encoding_are_found(tmp_path: Path, content: bytes, expected: Format) -> None:
    raw = read_table(table_of(tmp_path, content))
    assert raw.format == expected
    assert list(raw.columns) == ["a", "b"]
    assert raw.numbers(raw.column("a")).to_list() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("x;y\n2,99;8,94\n3,01;1,20\n", Format(";", ",", "utf-8")),
        ('x,y\n"1,23","2,46"\n"0,5","1"\n', Format(",", ",", "utf-8")),
        ('x,y\n"1,234","2,460"\n"500","1"\n', Format(",", ".", "utf-8")),
    ],
    ids=["more commas than semicolons", "decimal commas in quotes", "thousands in quotes"],
)
def test_a_comma_may_be_a_delimiter_a_decimal_comma_or_between_thousands(
    tmp_path: Path, content: str, expected: Format
) -> None:
    assert read_table(table_of(tmp_path, content)).format == expected


def test_a_cell_in_quotes_may_have_delimiters_and_line_breaks(tmp_path: Path) -> None:
    raw = read_table(table_of(tmp_path, 'a,b\n"1,5",x\n"2\n3",y\n'))
    assert raw.columns["a"].to_list() == ["1,5", "2\n3"]


def test_lines_of_which_all_cells_are_empty_are_no_rows(tmp_path: Path) -> None:
    """As a spreadsheet writes at the end; the lines of the others stay what they are."""
    table = read_table(table_of(tmp_path, "a;b\n1;x\n;\n2;y\n;\n"))
    assert table.columns["a"].to_list() == ["1", "2"]
    assert table.lines.to_list() == [2, 4]


def test_the_first_line_of_a_spreadsheet_may_say_the_delimiter(tmp_path: Path) -> None:
    table = read_table(table_of(tmp_path, "sep=;\na;b\n1,5;x\n"))
    assert (table.format, table.lines.to_list()) == (Format(";", ",", "utf-8"), [3])


def test_a_column_without_a_name_is_numbered(tmp_path: Path) -> None:
    """The index of pandas, in a file that `to_csv` wrote."""
    assert list(read_table(table_of(tmp_path, ",a\n0,x\n1,y\n")).columns) == ["column 1", "a"]


def test_a_parquet_file_is_the_same_table(tmp_path: Path) -> None:
    csv = table_of(tmp_path, customers())
    parquet = tmp_path / "table.parquet"
    pl.read_csv(csv, null_values=["NA", ""]).write_parquet(parquet)
    assert msgspec.structs.replace(propose(parquet, ["tier"]).recipe, table=None) == msgspec.structs.replace(
        propose(csv, ["tier"]).recipe, table=None, summary="tier from 4 columns of table.parquet"
    )


def test_a_table_of_too_many_rows_is_rejected_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 100)
    with pytest.raises(DataUnavailable, match="300 lines: at most 100 rows; train on a sample of them"):
        read_table(table_of(tmp_path, customers()))


@pytest.mark.parametrize(
    ("cells", "decimal", "delimiter", "expected", "removed"),
    [
        (["1.5", "-2"], ".", ",", [1.5, -2.0], ""),
        (["1,5", "2"], ",", ";", [1.5, 2.0], ""),
        (["1,234.5", "12", "1,234,567"], ".", ",", [1234.5, 12.0, 1234567.0], "separators of thousands"),
        (["1.018", "998", "0,5"], ",", ";", [1018.0, 998.0, 0.5], "separators of thousands"),
        (["1.018", "998"], ".", ";", [1018.0, 998.0], "separators of thousands"),
        (["1.018", "2.998"], ".", ";", [1.018, 2.998], ""),
        (["1.018", "998"], ".", ",", [1.018, 998.0], ""),
        (["11.9%", "3 %"], ".", ",", [11.9, 3.0], "%"),
        (["€ 60", "1,200 CHF"], ".", ",", [60.0, 1200.0], "€, CHF, separators of thousands"),
        (["12a", "1e999"], ".", ",", [None, None], ""),
    ],
)
def test_numbers_are_read_as_people_write_them(
    cells: list[str], decimal: str, delimiter: str, expected: list[float | None], removed: str
) -> None:
    text = pl.Series(cells)
    assert parse_numbers(text, decimal, delimiter).to_list() == expected
    words = f"; without {removed}, which requests must not have either" if removed else ""
    assert what_was_removed(text, decimal, delimiter) == words


def test_a_code_with_leading_zeros_is_a_category(tmp_path: Path) -> None:
    recipe = propose(table_of(tmp_path, "code,b\n" + repeated(["0{third},{word}\n", 60])), ["b"]).recipe
    assert recipe.table
    assert recipe.table.features == (TableColumn("code", "category", ("01", "010", "02")),)


def test_a_column_of_lists_is_left_out_of_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    lists, words = [[i] for i in range(60)], ["xy"[i % 2] for i in range(60)]
    pl.DataFrame({"a": [i % 7 for i in range(60)], "l": lists, "b": words}).write_parquet(path)
    assert "left out: l: it is '(a list or a structure)' in every row" in propose(path, ["b"]).notes


def test_the_ending_of_a_file_may_be_in_capitals(tmp_path: Path) -> None:
    path = table_of(tmp_path, customers(), "CUSTOMERS.CSV")
    options = ["--target", "tier", "--models", str(tmp_path / "models")]
    train_recipes(parser(Settings.from_env({})).parse_args(["train", str(path), *options]))
    assert (tmp_path / "models/customers/1/manifest.json").exists()


# The proposed recipe.


@pytest.fixture
def proposal(tmp_path: Path) -> Proposal:
    return propose(table_of(tmp_path, customers()), ["tier"])


def test_the_columns_are_what_they_seem(proposal: Proposal) -> None:
    assert proposal.recipe.table
    assert proposal.recipe.table.features == (
        TableColumn("age", may_be_missing=True),
        TableColumn("plan", "category", ("basic", "plus", "pro")),
        TableColumn("visits"),
        TableColumn("country", "category", ("CH", "DE", "TR"), may_be_missing=True),
    )


def test_what_is_left_out_is_named_with_the_reason(proposal: Proposal) -> None:
    left_out = [note.removeprefix("left out: ") for note in proposal.notes if note.startswith("left out: ")]
    assert left_out == [
        "customer_id: it seems to be an identifier or free text: 300 different texts",
        "joined: dates: make numbers of them, such as an age in days or a weekday",
        "note: it is 'x' in every row",
    ]


@pytest.mark.parametrize(
    ("header", "row", "note"),
    [
        ("a;b;y", "{third};62.{i:03};{word}", 'b: 62.000 is read with a decimal point; decimal = "," in a recipe file'),
        (
            "a,b,y",
            "{third},{none},{word}",
            "b: 'None' (20 rows) is read as a missing value; `missing` in a recipe file",
        ),
        ("a,b,y", "{third},{total},{word}", "b: 'total' is in one row alone: is it a total?"),
        ("a,y", "{noise},{region}", "y: 'NA' (20 rows) is read as a missing value; `missing` in a recipe file"),
    ],
)
def test_what_may_be_meant_otherwise_is_said(tmp_path: Path, header: str, row: str, note: str) -> None:
    rows = [
        row.format(
            i=i,
            third=i % 3,
            noise=i * 7919 % 101,
            word=("blue", "red")[i % 2],
            none=("Pd", "Pt", "None")[i % 3],
            total="total" if i == 59 else ("Bonn", "Bern")[i % 2],
            region=("EU", "APAC", "NA")[i % 3],
        )
        for i in range(60)
    ]
    notes = propose(table_of(tmp_path, "\n".join([header, *rows])), ["y"]).notes
    assert any(one.startswith(note) for one in notes), notes


def test_rows_without_a_target_do_not_say_which_columns_may_be_missing(tmp_path: Path) -> None:
    content = "a,b\n" + repeated(["{noise},{word}\n", 60]) + ",\n,x\n5,"
    recipe = propose(table_of(tmp_path, content.replace(",x", ",")), ["b"]).recipe
    assert recipe.table
    assert not recipe.table.features[0].may_be_missing
    assert len(TableDataset(recipe, recipe.table)) == 60


def test_no_threshold_is_out_of_reach(tmp_path: Path) -> None:
    rows = [f"{i * 7919 % 101},{int(i % 50 == 0)}" for i in range(300)]
    recipe = propose(table_of(tmp_path, "\n".join(["a,b", *rows])), ["b"]).recipe
    assert recipe.acceptance.threshold <= 0.75


@pytest.mark.parametrize(
    ("target", "task", "labels"),
    [
        ("{word}", "binary", ("blue", "red")),
        ("{third}", "multiclass", ("1", "2", "10")),
        ("{i}.5", "regression", ()),
        ("{i}", "regression", ()),
    ],
)
def test_the_task_follows_from_the_target(tmp_path: Path, target: str, task: str, labels: tuple[str, ...]) -> None:
    path = table_of(tmp_path, "a,b\n" + repeated(["{noise}," + target + "\n", 60]))
    recipe = propose(path, ["b"]).recipe
    assert recipe.table
    assert (recipe.task, recipe.table.labels) == (task, labels)


def test_several_targets_are_values(tmp_path: Path) -> None:
    recipe = propose(table_of(tmp_path, "a,b,c\n" + repeated(["{noise},{i},{third}\n", 60])), ["b", "c"]).recipe
    assert (recipe.task, recipe.layers[-1]) == ("regression", 2)


def test_uneven_classes_are_weighted(tmp_path: Path, proposal: Proposal) -> None:
    uneven = propose(table_of(tmp_path, "a,b\n" + repeated(["{noise},{rare}\n", 200])), ["b"])
    assert uneven.recipe.gradient_descent.class_weights
    assert not proposal.recipe.gradient_descent.class_weights


# The recipe's file.


def test_a_recipe_file_is_the_recipe_that_it_was_written_from(tmp_path: Path, proposal: Proposal) -> None:
    text = write_recipe(proposal).replace(f"{tmp_path}/", "")
    assert read_recipe(table_of(tmp_path, text, "table.toml")) == proposal.recipe


def test_every_choice_in_a_recipe_file_has_its_reason(proposal: Proposal) -> None:
    text = write_recipe(proposal)
    assert 'task = "binary"  # 2 classes; binary, multiclass or regression' in text
    assert "[[table.features]]  # 3 categories: basic, plus, pro" in text
    assert "# left out: note: it is 'x' in every row" in text


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("epochs = 200", "epoch = 200", r"line \d+ \(training\): object contains unknown field epoch"),
        ("epochs = 200", 'epochs = "many"', r"line \d+ \(training.epochs\): expected int, got str"),
        ('kind = "category"', 'kind = "word"', r"\(table.features.1.kind\): invalid enum value 'word'"),
        ("hidden_layers = [32]", 'hidden_layers = "32"', r"line \d+ \(hidden_layers\): expected array, got str"),
        ("seed = 0", "seed = ", r"Invalid value \(at line \d+, column \d+\)"),
        ("held_out = 0.2", "held_out = 2.0", r"\(table.held_out\): expected float <= 0.5"),
        ('name = "adamw"', 'name = "adamx"', r"\(training.optimiser.name\): invalid value 'adamx'"),
        ('name = "visits"', 'name = "age"', r"column 'age' is named twice"),
        ("[table]", "[tabel]", r"expected either \[table\] or \[pictures\]: `digitalis init FILE --target COLUMN`"),
    ],
)
def test_a_mistake_in_a_recipe_file_is_named_with_its_line(
    tmp_path: Path, proposal: Proposal, right: str, wrong: str, message: str
) -> None:
    text = write_recipe(proposal)
    assert right in text
    changed = text.replace(right, wrong, 1)
    with pytest.raises(BadRecipe, match=message) as caught:
        read_recipe(
            table_of(tmp_path, changed.replace("[table.", "[tabel.") if "tabel" in wrong else changed, "r.toml")
        )
    if (named := str(caught.value).partition("line ")[2].partition(" ")[0].rstrip(",")) and "twice" not in message:
        assert wrong.split(" ", maxsplit=1)[0] in changed.splitlines()[int(named) - 1]


def test_a_category_without_its_words_is_named_with_its_line(tmp_path: Path, proposal: Proposal) -> None:
    text = write_recipe(proposal).replace('kind = "number"', 'kind = "category"', 1)
    line = text.splitlines().index('kind = "category"')
    with pytest.raises(BadRecipe, match=rf"line {line - 1} .*: column 'age': a category lists its words as categories"):
        read_recipe(table_of(tmp_path, text, "r.toml"))


# The data set, and the network's encoding.


def test_rows_are_encoded_and_split_with_all_classes_in_each_part(proposal: Proposal) -> None:
    assert proposal.recipe.table
    dataset = TableDataset(proposal.recipe, proposal.recipe.table)
    train, held_out = dataset.train(0), dataset.held_out(0)
    assert (len(train.targets), len(held_out.targets)) == (240, 60)
    assert train.inputs[:, 0].isnan().any()
    assert set(train.inputs[:, 1].tolist()) == {0.0, 1.0, 2.0}
    fractions = [part.float().mean().item() for part in (train.targets, train.targets[-36:], held_out.targets)]
    assert np.ptp(fractions) < 0.03
    assert not torch.equal(dataset.train(1).targets, train.targets)


def test_each_row_knows_its_line_in_the_file(tmp_path: Path, proposal: Proposal) -> None:
    """Rows without a target are left out, and counted."""
    assert proposal.recipe.table
    lines = customers().splitlines()
    lines[3] = lines[3].rpartition(",")[0] + ","
    table = msgspec.structs.replace(proposal.recipe.table, path=str(table_of(tmp_path, "\n".join(lines))))
    held_out = TableDataset(proposal.recipe, table).held_out(0)
    cells = [lines[line - 1].split(",") for line in held_out.lines]
    visits = lines[0].split(",").index("visits")
    assert [float(row[visits]) for row in cells] == held_out.inputs[:, 2].tolist()


def test_more_validation_rows_than_rows_are_rejected(proposal: Proposal) -> None:
    assert proposal.recipe.table
    recipe = msgspec.structs.replace(proposal.recipe, validation_rows=240)
    with pytest.raises(DataUnavailable, match=r"validation_rows 240: there are 240 training rows"):
        TableDataset(recipe, proposal.recipe.table).train(0)


def test_a_recipe_whose_table_is_not_there_says_where_it_was_looked_for(proposal: Proposal) -> None:
    assert proposal.recipe.table
    table = msgspec.structs.replace(proposal.recipe.table, path="nowhere/customers.csv")
    with pytest.raises(DataUnavailable, match=r"nowhere/customers.csv: no such file \(path of recipe table"):
        TableDataset(proposal.recipe, table)


def test_a_word_that_the_recipe_does_not_have_is_named_with_its_line(tmp_path: Path, proposal: Proposal) -> None:
    assert proposal.recipe.table
    path = table_of(tmp_path, customers().replace(",pro,", ",premium,"), "changed.csv")
    table = msgspec.structs.replace(proposal.recipe.table, path=str(path))
    with pytest.raises(DataUnavailable, match=r"line \d+: plan is 'premium', expected one of basic, plus, pro"):
        TableDataset(proposal.recipe, table)


def test_an_empty_cell_in_a_column_that_may_not_be_missing_is_named_with_its_line(
    tmp_path: Path, proposal: Proposal
) -> None:
    assert proposal.recipe.table
    path = table_of(tmp_path, customers().replace(",pro,", ",,", 1), "changed.csv")
    table = msgspec.structs.replace(proposal.recipe.table, path=str(path))
    with pytest.raises(DataUnavailable, match=r"line \d+: plan is empty, and the recipe does not say may_be_missing"):
        TableDataset(proposal.recipe, table)


def test_columns_are_encoded_inside_the_network() -> None:
    encoding = ColumnEncoding(
        (TableColumn("a", may_be_missing=True), TableColumn("b", "category", ("x", "y"), may_be_missing=True))
    )
    encoding.fit(torch.tensor([[1.0, 0], [3.0, 1], [float("nan"), 1]]))
    rows = torch.tensor([[3.0, 1], [float("nan"), 0], [1.0, float("nan")]])
    expected = torch.tensor([[1.0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [-1, 0, 0, 0, 1]])
    assert torch.allclose(encoding(rows), expected, atol=1e-6)


# Bad tables.


def repeated(repeat: list[Any]) -> str:
    """A line so many times; the words in braces differ from line to line."""
    line, times = repeat
    generator = random.Random(0)
    return "".join(
        line.format(
            i=i,
            day=f"{1 + i % 28:02}",
            word=("red", "blue")[i % 2],
            third=(1, 2, 10)[i % 3],
            rare=("rare", *["often"] * 9)[i % 10],
            noise=generator.random(),
            lot=generator.choice(("red", "blue")),
        )
        for i in range(times)
    )


@pytest.mark.parametrize("case", BAD_TABLES, ids=lambda case: str(case["name"]))
def test_a_bad_table_gets_words_about_what_is_wrong(tmp_path: Path, case: dict[str, Any]) -> None:
    content = bytes.fromhex(case["hex"]) if "hex" in case else case["content"] + repeated(case.get("repeat", ["", 0]))
    path = table_of(tmp_path, content, f"table{case.get('suffix', '.csv')}")
    task = ["--task", case["task"]] if "task" in case else []
    command = ["train", str(path), "--target", case["target"], *task, "--models", str(tmp_path / "models")]
    with pytest.raises(DigitalisError) as caught:
        train_recipes(parser(Settings.from_env({})).parse_args(command))
    for phrase in case["error"]:
        assert phrase in str(caught.value)
    assert not list((tmp_path / "models").iterdir())
