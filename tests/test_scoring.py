"""`digitalis predict`: the same answers as over HTTP, in parts that a killed run finds again."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import MODELS, SAMPLES, newest
from in_process import open_app, post
from running_service import DEADLINE, ROOT, wait_until
from test_bundle import edit_golden

from digitalis.scoring.batch import Batch, InputError
from digitalis.scoring.command import main
from digitalis.scoring.inputs import output_columns
from digitalis.scoring.parts import Parts
from digitalis.scoring.run import Work
from digitalis.scoring.tables import CSV_BLOCK
from service.bundle.loading import load_bundle

IRIS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")


def rows_of_iris(count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(0).uniform(0.1, 7, (count, 4)).round(2)


def write_csv(path: Path, rows: np.ndarray[Any, Any]) -> Path:
    lines = [",".join(f'"{name}"' for name in IRIS), *(",".join(map(str, row)) for row in rows.tolist())]
    path.write_text("\n".join(lines) + "\n")
    return path


def predict(model: str, *inputs: Path, out: Path, **options: str) -> pa.Table:
    """Run the command in this process, and read the parts."""
    more = [part for name, value in options.items() for part in (f"--{name}", value)]
    arguments = [model, *map(str, inputs), "--out", str(out), "--models", str(MODELS), "--processes", "2", *more]
    assert main(arguments) == 0
    return read(out)


def read(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(out.glob("predictions-*.parquet"))])


def rejected(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("rejected-*.csv")) for row in pyarrow.csv.read_csv(path).to_pylist()]


def over_http(model: str, path: str, body: bytes, content_type: str) -> list[dict[str, Any]]:
    response = post(open_app(model), f"/v1/models/{model}:predict{path}", body, {"Content-Type": content_type})
    found: list[dict[str, Any]] = response.json()["predictions"]
    return found


def test_a_table_gets_the_predictions_that_it_gets_over_http(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(500))
    found = predict("iris", table, out=tmp_path / "out").to_pylist()
    expected = over_http("iris", "", table.read_bytes(), "text/csv")
    assert [(row["file"], row["row"]) for row in found] == [(str(table), number) for number in range(1, 501)]
    assert [row["label"] for row in found] == [one["label"] for one in expected]
    assert [row["unsure"] for row in found] == [one.get("unsure", False) for one in expected]
    for row, one in zip(found, expected, strict=True):
        assert row["probability"] == pytest.approx(one["probability"], abs=1e-6)
        assert row["probability of setosa"] == pytest.approx(one["probabilities"]["setosa"], abs=1e-6)
    assert {row["model"] for row in found} == {f"iris/{newest('iris').name}"}
    assert {row["digest"][:7] for row in found} == {"sha256:"}


@pytest.mark.parametrize("kind", ["parquet", "npy"])
def test_parquet_and_arrays_get_the_predictions_of_the_table(tmp_path: Path, kind: str) -> None:
    rows = rows_of_iris(300).astype(np.float32)
    other = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(
            pa.table({name: rows[:, index] for index, name in enumerate(IRIS)} | {"note": ["x"] * 300}), other
        )
    else:
        np.save(other, rows)
    table = write_csv(tmp_path / "rows.csv", rows)
    compared = ["row", "label", "probability"]
    found, expected = (predict("iris", one, out=tmp_path / one.suffix[1:]) for one in (other, table))
    assert found.select(compared) == expected.select(compared)


def test_pictures_get_the_predictions_that_they_get_over_http_and_others_the_reason(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for path in [*SAMPLES.glob("*.png"), *SAMPLES.glob("*.gif")]:
        (tmp_path / "scans" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "scans/notes.txt").write_text("no picture")
    found = predict("mnist-deep", tmp_path / "scans", out=tmp_path / "out").to_pylist()
    for row in found:
        (one,) = over_http("mnist-deep", "", Path(row["file"]).read_bytes(), "image/png")
        assert (row["label"], row["probability"]) == (one["label"], pytest.approx(one["probability"], abs=1e-6))
    (refused,) = rejected(tmp_path / "out")
    assert refused["file"].endswith("notes.txt")
    assert refused["reason"].startswith("not an image in a supported format")


def test_rows_that_cannot_be_read_have_a_reason_and_the_others_a_prediction(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text(
        ",".join(IRIS) + "\n5.1,3.5,1.4,0.2\nlong,3.5,1.4,0.2\n5.1,,1.4,0.2\n1e999,1,1,1\n6.3,3.3,6.0,2.5\n"
    )
    found = predict("iris", table, out=tmp_path / "out").to_pylist()
    assert [(row["row"], row["label"]) for row in found] == [(1, "setosa"), (5, "virginica")]
    assert [(row["row"], row["reason"]) for row in rejected(tmp_path / "out")] == [
        (2, "'long' is not a number (sepal length (cm))"),
        (3, "the cell is empty (sepal width (cm))"),
        (4, "'1e999' is not a number (sepal length (cm))"),
    ]


def test_a_row_that_overflows_the_network_is_rejected_alone(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("\n".join((",".join(IRIS), "5.1,3.5,1.4,0.2", "3e38,3e38,3e38,3e38", "6.3,3.3,6,2.5")) + "\n")
    found = predict("iris", table, out=tmp_path / "out").to_pylist()
    assert [row["row"] for row in found] == [1, 3]
    (refused,) = rejected(tmp_path / "out")
    assert (refused["row"], "has no finite output for such large numbers" in refused["reason"]) == (2, True)


def test_the_model_may_be_a_folder_of_any_name(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(newest("iris"), tmp_path / "mnt/models"))
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    assert predict(str(bundle), table, out=tmp_path / "out").num_rows == 3


def test_a_bundle_that_does_not_open_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = Path(shutil.copytree(newest("iris"), tmp_path / "iris"))
    edit_golden(bundle, lambda golden: golden["outputs"]["probabilities"][0].reverse())
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    assert main([str(bundle), str(table), "--out", str(tmp_path / "out"), "--processes", "1"]) == 1
    assert "golden.json: example 0: probabilities" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_the_parts_may_be_csv_or_json_lines(tmp_path: Path, file_format: str) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    arguments = ["iris", str(table), "--out", str(tmp_path / "out"), "--models", str(MODELS), "--format", file_format]
    assert main(arguments) == 0
    (part,) = (tmp_path / "out").glob(f"predictions-*.{file_format}")
    rows = [json.loads(line) for line in part.read_text().splitlines()] if file_format == "jsonl" else None
    found = rows or pyarrow.csv.read_csv(part).to_pylist()
    assert [row["row"] for row in found] == [1, 2, 3]


def test_a_regression_has_its_targets_by_name(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("x\n1.5\n2\n")
    found = predict("linear-regression", table, out=tmp_path / "out").to_pylist()
    expected = over_http("linear-regression", "", table.read_bytes(), "text/csv")
    assert [row["y"] for row in found] == [pytest.approx(one["values"]["y"]) for one in expected]


def test_a_run_that_is_killed_again_and_again_ends_with_every_row_once(tmp_path: Path) -> None:
    rows = rows_of_iris(400_000)
    table = write_csv(tmp_path / "rows.csv", rows)
    assert table.stat().st_size > 5 * CSV_BLOCK
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "digitalis",
        "predict",
        "iris",
        str(table),
        "--out",
        str(out),
        "--models",
        str(MODELS),
    ]
    kills = 0
    for _ in range(50):
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
        there = len(list(out.glob("predictions-*"))) if out.exists() else 0
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None and time.monotonic() < deadline:
            if out.exists() and len(list(out.glob("predictions-*"))) > there:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        if process.wait(DEADLINE) == 0:
            break
    assert kills > 2
    assert process.returncode == 0
    found = read(out)
    assert found.column("row").to_pylist() == list(range(1, len(rows) + 1))
    whole = predict("iris", table, out=tmp_path / "whole")
    assert found.equals(whole)


def test_a_command_that_is_given_again_predicts_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(10))
    first = predict("iris", table, out=tmp_path / "out")
    capsys.readouterr()
    assert predict("iris", table, out=tmp_path / "out") == first
    assert capsys.readouterr().out.startswith("0 rows predicted, 0 rejected in ")


Change = Callable[[Path], list[str]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["irsi", "rows.csv"], "no model 'irsi' in "),
        (["iris/99", "rows.csv"], "no model 'iris/99' in "),
        (["iris", "nowhere.csv"], "nowhere.csv: there is no such file or folder"),
        (["wine", "rows.csv"], "rows.csv: it has no column 'alcohol', 'malic_acid'"),
        (
            ["iris", "scan.png"],
            "scan.png: expected a table (.csv, .tsv, .parquet, also .csv.gz), or an array in .npy, for iris/",
        ),
        (["iris", "broken.parquet"], "broken.parquet: "),
        (["iris", "empty.csv"], "empty.csv: the file is empty"),
        (["arc", "rows.csv"], "is a model of the task mixture, which this command does not predict"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    (tmp_path / "scan.png").write_bytes((SAMPLES / "0.png").read_bytes())
    (tmp_path / "broken.parquet").write_text("no parquet")
    (tmp_path / "empty.csv").write_text("")
    assert main([*arguments, "--out", "out", "--models", str(MODELS), "--processes", "1"]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert words in message
    assert "Traceback" not in message


def test_the_parts_of_another_run_are_not_mixed_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    predict("iris", table, out=tmp_path / "out")
    write_csv(table, rows_of_iris(4))
    arguments = [str(table), "--out", str(tmp_path / "out"), "--models", str(MODELS)]
    assert main(["iris", *arguments]) == 1
    assert "has the parts of another run, with other files: give another folder to --out" in " ".join(
        capsys.readouterr().err.split()
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("mine")
    assert main(["iris", str(table), "--out", str(tmp_path / "mine"), "--models", str(MODELS)]) == 1
    assert "it has other files, and no parts of a run" in " ".join(capsys.readouterr().err.split())


def test_what_an_interrupted_run_left_half_written_is_removed(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    predict("iris", table, out=tmp_path / "out")
    (tmp_path / "out/predictions-000000.parquet").unlink()
    (tmp_path / "out/.predictions-000000.parquet.1f.partial").write_text("half")
    assert predict("iris", table, out=tmp_path / "out").num_rows == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock",
        "predictions-000000.parquet",
        "run.json",
    ]


def test_a_node_with_another_bundle_is_refused(tmp_path: Path) -> None:
    work = Work(list, newest("iris"), "sha256:0", Parts(tmp_path, "csv"), set())
    with pytest.raises(InputError, match=r"models/iris/\d+ has the digest sha256:\w+, and this run is of sha256:0"):
        work.score(0, Batch("rows.npy", np.arange(1, 2), rows_of_iris(1)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ray", "auto", "--processes", "7"], "argument --processes: not allowed with argument --ray"),
        (["--processes", "0"], "argument --processes: expected 1 or more, got '0'"),
        (["--ray"], "argument --ray: expected one argument"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["iris", "rows.csv", "--out", "out", *options])
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


def test_columns_that_the_model_does_not_have_may_hold_anything(tmp_path: Path) -> None:
    """A number at the start of a column does not make the words after it wrong."""
    table = tmp_path / "rows.csv"
    rows = [f"{number},5.1,3.5,1.4,0.2" for number in range(70_000)]
    table.write_text("\n".join([f"id,{','.join(IRIS)}", *rows, "A12,5.1,3.5,1.4,0.2"]) + "\n")
    assert table.stat().st_size > CSV_BLOCK
    found = predict("iris", table, out=tmp_path / "out", keep="id")
    assert found.column("id").to_pylist() == [*map(str, range(70_000)), "A12"]


def test_rows_with_other_numbers_of_cells_are_rejected_and_counted(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    good = ["5.1,3.5,1.4,0.2"] * 60_000
    lines = [*good, "5.1", *good, "5.1,3.5,1.4,0.2,9", "6.3,3.3,6.0,2.5", "1,2"]
    table.write_text("\n".join([",".join(IRIS), *lines]) + "\n")
    found = predict("iris", table, out=tmp_path / "out")
    wrong = {60_001: 1, 120_002: 5, 120_004: 2}
    assert found.column("row").to_pylist() == [row for row in range(1, 120_005) if row not in wrong]
    assert [(row["row"], row["reason"]) for row in rejected(tmp_path / "out")] == [
        (row, f"the row has {cells} cells, expected 4") for row, cells in wrong.items()
    ]


@pytest.mark.parametrize("form", ["semicolons", "tabs", "utf-16", "gzip", "CRLF", "BOM", "quoted line breaks"])
def test_a_table_may_be_written_in_other_ways(tmp_path: Path, form: str) -> None:
    delimiter = {"semicolons": ";", "tabs": "\t"}.get(form, ",")
    end = "\r\n" if form == "CRLF" else "\n"
    note = '"two' + end + 'lines"' if form == "quoted line breaks" else "x"
    lines = [delimiter.join(["note", *IRIS])] + [delimiter.join([note, "5.1", "3.5", "1.4", "0.2"])] * 60_000
    text = end.join(lines) + end
    content = text.encode({"utf-16": "utf-16", "BOM": "utf-8-sig"}.get(form, "utf-8"))
    table = tmp_path / ("rows.csv.gz" if form == "gzip" else "rows.tsv" if form == "tabs" else "rows.csv")
    table.write_bytes(gzip.compress(content) if form == "gzip" else content)
    assert len(content) > CSV_BLOCK
    assert predict("iris", table, out=tmp_path / "out").column("row").to_pylist() == list(range(1, 60_001))


def test_files_of_folders_that_are_no_tables_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tables"
    (folder / ".hidden").mkdir(parents=True)
    write_csv(folder / "rows.csv", rows_of_iris(3))
    write_csv(folder / ".hidden/rows.csv", rows_of_iris(3))
    (folder / "README.md").write_text("notes")
    assert predict("iris", folder, folder / "rows.csv", out=folder / "out").num_rows == 3
    assert f"left out, as they are no tables: {folder}/README.md" in capsys.readouterr().err
    assert predict("iris", folder, folder / "rows.csv", out=folder / "out").num_rows == 3  # its own parts are no inputs


def test_a_table_that_was_changed_is_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    predict("iris", table, out=tmp_path / "out")
    os.utime(table, ns=(1, 1))
    assert main(["iris", str(table), "--out", str(tmp_path / "out"), "--models", str(MODELS)]) == 1
    assert "has the parts of another run, with other files" in capsys.readouterr().err


def test_two_commands_do_not_write_to_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    with Parts(tmp_path / "out", "parquet").locked():
        assert main(["iris", str(table), "--out", str(tmp_path / "out"), "--models", str(MODELS)]) == 1
    assert "another command writes there: wait for its end" in capsys.readouterr().err


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_of_all_processes_ends_with_one_line_and_nothing_half_written(
    tmp_path: Path, end: signal.Signals
) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(400_000))
    command = (
        sys.executable,
        "-m",
        "digitalis",
        "predict",
        "iris",
        table,
        "--out",
        tmp_path / "out",
        "--models",
        MODELS,
    )
    process = subprocess.Popen(
        (*command, "--processes", "3"), cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: (tmp_path / "out").exists() and list((tmp_path / "out").glob("predictions-*")))
    os.killpg(process.pid, end)
    _, said = process.communicate(timeout=DEADLINE)
    assert (process.returncode, said) == (130, "interrupted: give the same command again, and it goes on\n")
    assert list((tmp_path / "out").glob(".*.partial")) == []


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_stays_when_the_command_is_ended(tmp_path: Path, end: signal.Signals) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(400_000))
    command = (
        sys.executable,
        "-m",
        "digitalis",
        "predict",
        "iris",
        table,
        "--out",
        tmp_path / "out",
        "--models",
        MODELS,
    )
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: (tmp_path / "out").exists() and list((tmp_path / "out").glob("predictions-*")))
    process.send_signal(end)
    process.communicate(timeout=DEADLINE)  # until every process has closed the pipe
    assert process.returncode == (130 if end == signal.SIGTERM else -signal.SIGKILL)


def test_a_name_that_is_not_utf_8_is_written_with_backslashes(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    Path(shutil.copy(SAMPLES / "7.png", folder)).rename(folder / os.fsdecode(b"\xff.png"))
    (row,) = predict("mnist-deep", folder, out=tmp_path / "out").to_pylist()
    assert row["file"] == f"{folder}/\\xff.png"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("iriss", "no model 'iriss' in {models}/: did you mean iris?"),
        ("iris/99", "no model 'iris/99' in {models}/: there is iris/"),
    ],
)
def test_a_model_that_is_not_there_has_a_hint(
    tmp_path: Path, model: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    assert main([model, str(table), "--out", str(tmp_path / "out"), "--models", str(MODELS)]) == 1
    assert words.format(models=MODELS) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_array_of_another_shape_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((3, 5), np.float32))
    assert main(["iris", str(tmp_path / "rows.npy"), "--out", str(tmp_path / "out"), "--models", str(MODELS)]) == 1
    assert "rows.npy: its shape is (3, 5), expected (n, 4) for iris/" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (["a; b; c", *IRIS], ["x", "5.1", "3.5", "1.4", "0.2"]),
        (["a, b", *IRIS], ['"5, 6"', "5.1", "3.5", "1.4", "0.2"]),
    ],
)
def test_the_delimiter_is_the_one_that_gives_the_models_columns(
    tmp_path: Path, header: list[str], row: list[str]
) -> None:
    table = tmp_path / "ROWS.CSV"
    delimiter = ";" if "," in header[0] else ","
    table.write_text("\n".join([delimiter.join(f'"{name}"' for name in header), delimiter.join(row)]) + "\n")
    assert predict("iris", table, out=tmp_path / "out").column("label").to_pylist() == ["setosa"]


def test_a_quote_that_is_not_closed_is_an_error_as_it_hides_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "rows.csv"
    table.write_text(f'note,{",".join(IRIS)}\nx,5.1,3.5,1.4,0.2\n"y,5.1,3.5,1.4,0.2\nz,5.1,3.5,1.4,0.2\n')
    assert main(["iris", str(table), "--out", str(tmp_path / "out"), "--models", str(MODELS)]) == 1
    assert "rows.csv: a quote is opened and not closed, so that rows after it are not seen" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["iris", "linear-regression"])
def test_the_names_that_keep_refuses_are_those_of_the_output(tmp_path: Path, model: str) -> None:
    table = tmp_path / "rows.csv"
    table.write_text(f"{','.join(IRIS)},x\n5.1,3.5,1.4,0.2,1\n")
    bundle, _ = load_bundle(newest(model))
    assert predict(model, table, out=tmp_path / "out").column_names == output_columns(bundle)


def test_a_feature_may_be_kept_and_the_columns_of_the_output_may_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_csv(tmp_path / "rows.csv", rows_of_iris(3))
    arguments = ["iris", str(table), "--models", str(MODELS), "--keep", IRIS[0], "--keep", IRIS[0]]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert read(tmp_path / "out").column(IRIS[0]).to_pylist() == [str(row[0]) for row in rows_of_iris(3).tolist()]
    regression = tmp_path / "regression.csv"
    regression.write_text("x,y\n1,2\n")
    arguments = ["linear-regression", str(regression), "--models", str(MODELS), "--keep", "y"]
    assert main([*arguments, "--out", str(tmp_path / "other")]) == 1
    assert "--keep y: the output has a column of this name already" in capsys.readouterr().err
