"""What V1 says of the models, and what it answers beyond labels."""

import io
import json
import shutil
import urllib.request
from pathlib import Path

import pytest
from conftest import MODELS, SAMPLES
from PIL import Image, ImageDraw
from running_service import RunningService

RUNTIMES = {"onnx": "ONNX Runtime", "torchscript": "TorchScript"}


def test_the_list_names_every_model(service: RunningService) -> None:
    assert service.client.get("/v1/models").json() == {"models": sorted(path.name for path in MODELS.iterdir())}


def test_the_status_is_tensorflow_servings_and_kserves_and_says_all_of_the_bundle(service: RunningService) -> None:
    status = service.client.get("/v1/models/iris").json()
    manifest = json.loads((MODELS / "iris/3/manifest.json").read_text())
    assert status["model_version_status"] == [
        {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
    assert status["name"] == "iris"
    assert status["ready"] is True
    assert status["versions"] == ["3"]
    for same in ("task", "signature", "labels", "features", "targets", "metrics", "version"):
        assert status[same] == manifest.get(same, [])
    assert status["runtime"] in RUNTIMES.values()
    assert status["device"] == "cpu"
    assert status["digest"].startswith("sha256:")


def test_one_version_has_the_same_status(service: RunningService) -> None:
    assert service.client.get("/v1/models/iris/versions/3").json() == service.client.get("/v1/models/iris").json()


def test_the_metadata_is_tensorflow_servings_with_the_origin_beside_it(service: RunningService) -> None:
    found = service.client.get("/v1/models/mnist-deep/metadata").json()
    assert found == service.client.get("/v1/models/mnist-deep/versions/4/metadata").json()
    assert found["model_spec"] == {"name": "mnist-deep", "signature_name": "", "version": "4"}
    definition = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["inputs"]["image"]["dtype"] == "DT_UINT8"
    assert [dim["size"] for dim in definition["inputs"]["image"]["tensor_shape"]["dim"]] == ["-1", "28", "28"]
    assert definition["outputs"]["probabilities"]["dtype"] == "DT_FLOAT"
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert found["origin"]["recipe"]["name"] == "mnist-deep"


@pytest.mark.parametrize("path", ["", "/versions/3", "/metadata", "/versions/3/metadata", "/report"])
def test_of_an_unknown_model_nothing_is_said(service: RunningService, path: str) -> None:
    answer = service.client.get(f"/v1/models/lily{path}")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("no model 'lily': there are and, and-by-hand, ")


def test_a_prediction_names_the_model_and_every_probability(service: RunningService) -> None:
    body = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
    answer = service.client.post("/v1/models/iris:predict", json=body).json()
    assert (answer["model_name"], answer["model_version"]) == ("iris", "3")
    (prediction,) = answer["predictions"]
    assert list(prediction) == ["label", "probability", "probabilities"]
    assert list(prediction["probabilities"]) == ["setosa", "versicolor", "virginica"]


def test_a_row_answers_alike_alone_and_among_ten_thousand(service: RunningService) -> None:
    rows = [[4.3 + i % 37 / 10, 2.0 + i % 25 / 10, 1.0 + i % 60 / 10, 0.1 + i % 25 / 10] for i in range(10_000)]
    together = service.client.post("/v1/models/iris:predict", json={"instances": rows}).json()["predictions"]
    assert len(together) == 10_000
    for i in (0, 1, 17, 9_999):
        (alone,) = service.client.post("/v1/models/iris:predict", json={"instances": [rows[i]]}).json()["predictions"]
        assert alone["label"] == together[i]["label"]
        assert alone["probabilities"] == pytest.approx(together[i]["probabilities"], abs=1e-6)


@pytest.mark.parametrize(
    ("model", "row", "warnings"),
    [
        (
            "iris",
            [5.1, 3.5, 51, 0.2],
            ["petal length (cm) = 51 is outside 1.0 to 6.9 seen in training"],
        ),
        (
            "iris",
            {"sepal length (cm)": -1e30, "sepal width (cm)": 4.4, "petal length (cm)": 6.9001, "petal width (cm)": 2.5},
            [
                "sepal length (cm) = -1e+30 is outside 4.3 to 7.9 seen in training",
                "petal length (cm) = 6.9001 is outside 1.0 to 6.9 seen in training",
            ],
        ),
        ("linnerud", [18, 50, 250], ["Chins = 18 is outside 1.0 to 17.0 seen in training"]),
        ("iris", [4.3, 2.0, 1.0, 0.1], None),
        ("iris", [7.9, 4.4, 6.9, 2.5], None),
    ],
)
def test_a_value_outside_the_range_seen_in_training_is_answered_with_a_warning(
    service: RunningService, model: str, row: object, warnings: list[str] | None
) -> None:
    """The outermost values of the training data, which FP32 rounds outwards, are inside."""
    answer = service.client.post(f"/v1/models/{model}:predict", json={"instances": [row]}).json()
    (prediction,) = answer["predictions"]
    assert prediction.get("warnings") == warnings


def test_each_row_has_the_warnings_that_are_its_own(service: RunningService) -> None:
    csv = "5.1,3.5,1.4,0.2\n5.1,35,14,0.2\n6.3,3.3,6.0,25\n"
    answer = service.client.post("/v1/models/iris:predict", content=csv, headers={"Content-Type": "text/csv"}).json()
    counts = [len(prediction.get("warnings", ())) for prediction in answer["predictions"]]
    assert counts == [0, 2, 1]
    assert answer["predictions"][0]["label"] == "setosa"


def test_an_array_is_never_normalised_and_a_file_always_is(service: RunningService, tmp_path: Path) -> None:
    """A small 1 in a corner: as a file it is found and centred, as an array it is what the network is given."""
    array = [[255 if 3 <= row < 9 and column == 4 else 0 for column in range(28)] for row in range(28)]
    Image.frombytes("L", (28, 28), b"".join(bytes(row) for row in array)).save(tmp_path / "1.png")
    url = "/v1/models/mnist-deep:predict"
    (as_file,) = service.client.post(url, content=(tmp_path / "1.png").read_bytes()).json()["predictions"]
    (as_array,) = service.client.post(url, json={"instances": [array]}).json()["predictions"]
    assert as_file["label"] == "1"
    assert as_array["probabilities"] != pytest.approx(as_file["probabilities"], abs=1e-3)


def test_debug_ink_shows_what_the_network_saw_and_what_was_done(service: RunningService, tmp_path: Path) -> None:
    names = ("4.jpg", "7.png", "3.png")  # one on its side by EXIF, one light on dark, one plain
    files = [("image", (name, (SAMPLES / name).read_bytes())) for name in names]
    answer = service.client.post("/v1/models/mnist:predict?debug=ink", files=files).json()
    turned, light, plain = (prediction["ink"] for prediction in answer["predictions"])
    assert [prediction["label"] for prediction in answer["predictions"]] == ["4", "7", "3"]
    assert (turned["exif_orientation"], light["exif_orientation"]) == (6, 1)
    assert (turned["inverted"], light["inverted"], plain["inverted"]) == (False, True, False)
    for ink in (turned, light, plain):
        assert (ink["width"], ink["height"], ink["untouched"]) == (240, 240, False)
        assert ink["pieces"] == 1
        assert ink["lines_removed"] == 0
        left, top, width, height = ink["box"]
        assert 0 < left < left + width < 240
        assert 0 < top < top + height < 240
        with urllib.request.urlopen(ink["png"]) as png, Image.open(png) as seen:
            assert (seen.size, seen.mode) == ((28, 28), "L")
            seen.save(tmp_path / "seen.png")
        again = service.client.post(
            "/v1/models/mnist:predict?debug=ink", files={"image": (tmp_path / "seen.png").read_bytes()}
        ).json()["predictions"][0]
        assert again["ink"]["untouched"]
        assert again["ink"]["png"] == ink["png"]


def test_debug_ink_shows_an_array_as_it_came(service: RunningService) -> None:
    array = {"instances": [[[0] * 28 for _ in range(28)]]}
    (prediction,) = service.client.post("/v1/models/mnist:predict?debug=ink", json=array).json()["predictions"]
    assert prediction["ink"]["untouched"]
    assert "ink" not in service.client.post("/v1/models/mnist:predict", json=array).json()["predictions"][0]


def drawn(path: list[tuple[float, float]]) -> bytes:
    """A line along some points, drawn as digits are: a PNG."""
    page = Image.new("L", (120, 120), 255)
    ImageDraw.Draw(page).line(path, fill=0, width=8, joint="curve")
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


STRANGERS: dict[str, list[tuple[float, float]]] = {
    "a zigzag": [(15 + 10 * i, 25 if i % 2 else 95) for i in range(10)],
    "a star": [(60, 15), (88, 100), (15, 45), (105, 45), (32, 100), (60, 15)],
    "a letter W": [(15, 25), (35, 95), (60, 35), (85, 95), (105, 25)],
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_looks_like_no_digit_is_unsure_and_says_why(service: RunningService, name: str) -> None:
    files = [("image", drawn(STRANGERS[name])), ("image", (SAMPLES / "3.png").read_bytes())]
    url = "/v1/models/mnist:predict"
    strange, digit = service.client.post(url, files=files).json()["predictions"]
    assert strange["unsure"] is True
    assert strange["reason"] == "it looks like none of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert strange["label"] in strange["probabilities"]
    assert (digit["label"], list(digit)) == ("3", ["label", "probability", "probabilities"])
    strange, digit = service.client.post(f"{url}?abstain=true", files=files).json()["predictions"]
    assert (strange["label"], strange["unsure"]) == (None, True)
    assert len(strange["probabilities"]) == 10
    assert digit["label"] == "3"


def test_no_digit_of_the_samples_is_unsure(service: RunningService) -> None:
    files = [("image", path.read_bytes()) for path in sorted(SAMPLES.iterdir()) if path.stem.isdecimal()]
    predictions = service.client.post("/v1/models/mnist:predict", files=files).json()["predictions"]
    assert [prediction["label"] for prediction in predictions] == list("0123456789")
    assert not any("unsure" in prediction for prediction in predictions)


def test_an_answer_below_the_bundles_threshold_is_unsure_and_has_no_label_if_the_setting_says_so(
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(MODELS / "iris/3", tmp_path / "models/iris/3"))
    manifest = json.loads((folder / "manifest.json").read_text()) | {"abstention": {"probability": 0.985}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = {"instances": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]}
    url = "/v1/models/iris:predict"
    with RunningService(tmp_path / "log", models_dir=str(folder.parent.parent), abstain="true") as service:
        sure, unsure = service.client.post(url, json=rows).json()["predictions"]
        assert (sure["label"], "unsure" in sure) == ("setosa", False)
        assert (unsure["label"], unsure["unsure"]) == (None, True)
        assert unsure["reason"] == "the likeliest label is below 0.985"
        assert unsure["probability"] == max(unsure["probabilities"].values())
        _, asked = service.client.post(f"{url}?abstain=false", json=rows).json()["predictions"]
        assert (asked["label"], asked["unsure"]) == ("virginica", True)
        assert service.client.get("/v1/models/iris").json()["abstention"] == {"probability": 0.985, "background": None}


def test_health_is_json(service: RunningService) -> None:
    assert service.client.get("/v2/health/live").json() == {"live": True}
    assert service.client.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_head_and_options_are_answered(service: RunningService) -> None:
    assert service.client.head("/v2/health/ready").status_code == 200
    assert "POST" in service.client.options("/v1/models/iris:predict").headers["Allow"]
    allowed = service.client.get("/v1/models/iris:predict").headers["Allow"]
    assert set(allowed.split(", ")) == {"POST", "OPTIONS"}
