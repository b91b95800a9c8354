"""The V1 protocol: status and metadata of models, predictions, warnings, abstention and normalisation debug output."""

import io
import json
import shutil
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import IRIS, IRIS_VERSION, MODELS, SAMPLES, newest
from PIL import Image, ImageDraw
from running_service import RunningService

VERSION = f"/versions/{IRIS_VERSION}"
MODEL_NAMES = sorted(path.name for path in MODELS.iterdir())
RUNTIME_NAMES = {"onnx": "ONNX Runtime", "torchscript": "TorchScript"}  # by the parameter of the fixture `service`


def test_the_model_list_names_every_model(service: RunningService) -> None:
    assert service.client.get("/v1/models").json() == {"models": MODEL_NAMES}


def test_the_status_has_tensorflow_serving_fields_kserve_fields_and_manifest_fields(
    service: RunningService, request: pytest.FixtureRequest
) -> None:
    status = service.client.get("/v1/models/iris").json()
    manifest = json.loads((IRIS / "manifest.json").read_text())
    assert status["model_version_status"] == [
        {"version": IRIS_VERSION, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
    assert status["name"] == "iris"
    assert status["ready"] is True
    assert status["versions"] == [IRIS_VERSION]
    for field in ("task", "signature", "labels", "features", "targets", "metrics", "version"):
        assert status[field] == manifest.get(field, [])
    assert status["runtime"] == RUNTIME_NAMES[request.node.callspec.params["service"]]
    assert status["device"] == "cpu"
    assert status["digest"].startswith("sha256:")


def test_the_status_of_the_newest_version_is_the_status_of_the_model(service: RunningService) -> None:
    assert (
        service.client.get(f"/v1/models/iris/versions/{IRIS_VERSION}").json()
        == service.client.get("/v1/models/iris").json()
    )


def test_the_metadata_has_tensorflow_serving_fields_and_the_origin_of_the_bundle(service: RunningService) -> None:
    metadata = service.client.get("/v1/models/mnist-deep/metadata").json()
    version = newest("mnist-deep").name
    assert metadata == service.client.get(f"/v1/models/mnist-deep/versions/{version}/metadata").json()
    assert metadata["model_spec"] == {"name": "mnist-deep", "signature_name": "", "version": version}
    definition = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["inputs"]["image"]["dtype"] == "DT_UINT8"
    assert [dim["size"] for dim in definition["inputs"]["image"]["tensor_shape"]["dim"]] == ["-1", "28", "28"]
    assert definition["outputs"]["probabilities"]["dtype"] == "DT_FLOAT"
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert metadata["origin"]["recipe"]["name"] == "mnist-deep"


@pytest.mark.parametrize("path", ["", VERSION, "/metadata", f"{VERSION}/metadata", "/report"])
def test_an_unknown_model_is_404_and_the_error_lists_the_models(service: RunningService, path: str) -> None:
    response = service.client.get(f"/v1/models/lily{path}")
    assert response.status_code == 404
    assert response.json() == {"error": f"no model 'lily': the models are {', '.join(MODEL_NAMES)}"}


def test_a_prediction_has_a_label_and_the_probability_of_every_label(service: RunningService) -> None:
    body = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
    response = service.client.post("/v1/models/iris:predict", json=body).json()
    assert (response["model_name"], response["model_version"]) == ("iris", IRIS_VERSION)
    (prediction,) = response["predictions"]
    assert list(prediction) == ["label", "probability", "probabilities"]
    assert list(prediction["probabilities"]) == ["setosa", "versicolor", "virginica"]


def test_a_row_gets_the_same_prediction_alone_and_in_a_batch_of_10000(service: RunningService) -> None:
    rows = [[4.3 + i % 37 / 10, 2.0 + i % 25 / 10, 1.0 + i % 60 / 10, 0.1 + i % 25 / 10] for i in range(10_000)]
    batch = service.client.post("/v1/models/iris:predict", json={"instances": rows}).json()["predictions"]
    assert len(batch) == 10_000
    for i in (0, 1, 17, 9_999):
        (single,) = service.client.post("/v1/models/iris:predict", json={"instances": [rows[i]]}).json()["predictions"]
        assert single["label"] == batch[i]["label"]
        assert single["probabilities"] == pytest.approx(batch[i]["probabilities"], abs=1e-6)


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
def test_a_value_outside_the_training_range_adds_a_warning_to_the_prediction(
    service: RunningService, model: str, row: object, warnings: list[str] | None
) -> None:
    """The minima and maxima of the training data, which FP32 may round outwards, are inside the range."""
    response = service.client.post(f"/v1/models/{model}:predict", json={"instances": [row]}).json()
    (prediction,) = response["predictions"]
    assert prediction.get("warnings") == warnings


def test_each_warning_belongs_to_the_row_of_its_value(service: RunningService) -> None:
    csv = "5.1,3.5,1.4,0.2\n5.1,35,14,0.2\n6.3,3.3,6.0,25\n"
    response = service.client.post("/v1/models/iris:predict", content=csv, headers={"Content-Type": "text/csv"}).json()
    names = [[text.partition(" = ")[0] for text in row.get("warnings", ())] for row in response["predictions"]]
    assert names == [[], ["sepal width (cm)", "petal length (cm)"], ["petal width (cm)"]]
    assert response["predictions"][0]["label"] == "setosa"


def test_an_array_is_not_normalised_and_an_image_file_is(service: RunningService, tmp_path: Path) -> None:
    """A small 1 in a corner: the file's digit is located and centred, the array is passed to the network unchanged."""
    array = [[255 if 3 <= row < 9 and column == 4 else 0 for column in range(28)] for row in range(28)]
    Image.frombytes("L", (28, 28), b"".join(bytes(row) for row in array)).save(tmp_path / "1.png")
    url = "/v1/models/mnist-deep:predict"
    (from_file,) = service.client.post(url, content=(tmp_path / "1.png").read_bytes()).json()["predictions"]
    (from_array,) = service.client.post(url, json={"instances": [array]}).json()["predictions"]
    assert from_file["label"] == "1"
    assert from_array["probabilities"] != pytest.approx(from_file["probabilities"], abs=1e-3)


def test_debug_ink_returns_the_network_input_and_a_report_of_the_normaliser(
    service: RunningService, tmp_path: Path
) -> None:
    names = ("4.jpg", "7.png", "3.png")  # rotated by its EXIF orientation; light ink on dark paper; neither
    files = [("image", (name, (SAMPLES / name).read_bytes())) for name in names]
    response = service.client.post("/v1/models/mnist:predict?debug=ink", files=files).json()
    rotated, light_on_dark, plain = (prediction["ink"] for prediction in response["predictions"])
    assert [prediction["label"] for prediction in response["predictions"]] == ["4", "7", "3"]
    assert (rotated["exif_orientation"], light_on_dark["exif_orientation"]) == (6, 1)
    assert (rotated["inverted"], light_on_dark["inverted"], plain["inverted"]) == (False, True, False)
    for ink in (rotated, light_on_dark, plain):
        assert (ink["width"], ink["height"], ink["untouched"]) == (240, 240, False)
        with urllib.request.urlopen(ink["mask"]) as png, Image.open(png) as mask:
            assert np.asarray(mask).max() > 200
            assert max(mask.size) == 64
        left, top, width, height = ink["box"]
        assert 0 < left < left + width < 240
        assert 0 < top < top + height < 240
        with urllib.request.urlopen(ink["png"]) as png, Image.open(png) as network_input:
            assert (network_input.size, network_input.mode) == ((28, 28), "L")
            network_input.save(tmp_path / "normalised.png")
        second = service.client.post(
            "/v1/models/mnist:predict?debug=ink", files={"image": (tmp_path / "normalised.png").read_bytes()}
        ).json()["predictions"][0]
        assert second["ink"]["untouched"]
        assert second["ink"]["png"] == ink["png"]


def test_debug_ink_returns_an_array_unchanged(service: RunningService) -> None:
    array = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    body = {"instances": [array.tolist()]}
    (prediction,) = service.client.post("/v1/models/mnist:predict?debug=ink", json=body).json()["predictions"]
    assert prediction["ink"]["untouched"]
    with urllib.request.urlopen(prediction["ink"]["png"]) as png, Image.open(png) as network_input:
        assert np.array_equal(np.asarray(network_input), array)
    assert "ink" not in service.client.post("/v1/models/mnist:predict", json=body).json()["predictions"][0]


def png_of_line(points: list[tuple[float, float]]) -> bytes:
    """A PNG of 120x120 pixels: a dark line through these points on white paper, as wide as a digit's strokes."""
    image = Image.new("L", (120, 120), 255)
    ImageDraw.Draw(image).line(points, fill=0, width=8, joint="curve")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


OOD_SHAPES: dict[str, list[tuple[float, float]]] = {
    "a letter X": [(20, 20), (100, 100), (60, 60), (100, 20), (20, 100)],
    "a star": [(60, 15), (88, 100), (15, 45), (105, 45), (32, 100), (60, 15)],
    "a letter K": [(30, 15), (30, 105), (30, 60), (90, 15), (30, 60), (90, 105)],
}


@pytest.mark.parametrize("shape", OOD_SHAPES)
def test_an_out_of_distribution_image_is_unsure_with_the_reason(service: RunningService, shape: str) -> None:
    files = [("image", png_of_line(OOD_SHAPES[shape])), ("image", (SAMPLES / "3.png").read_bytes())]
    url = "/v1/models/mnist:predict"
    ood, digit = service.client.post(url, files=files).json()["predictions"]
    assert ood["unsure"] is True
    assert ood["reason"] == "it looks like none of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert ood["label"] in ood["probabilities"]
    assert (digit["label"], list(digit)) == ("3", ["label", "probability", "probabilities"])
    ood, digit = service.client.post(f"{url}?abstain=true", files=files).json()["predictions"]
    assert (ood["label"], ood["unsure"]) == (None, True)
    assert len(ood["probabilities"]) == 10
    assert digit["label"] == "3"


def test_no_sample_digit_is_unsure(service: RunningService) -> None:
    files = [("image", path.read_bytes()) for path in sorted(SAMPLES.iterdir()) if path.stem.isdecimal()]
    predictions = service.client.post("/v1/models/mnist:predict", files=files).json()["predictions"]
    assert [prediction["label"] for prediction in predictions] == list("0123456789")
    assert not any("unsure" in prediction for prediction in predictions)


def test_a_prediction_below_the_threshold_is_unsure_and_abstain_removes_its_label(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(IRIS, tmp_path / "models/iris" / IRIS_VERSION))
    manifest = json.loads((folder / "manifest.json").read_text()) | {"abstention": {"min_probability": 0.985}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = {"instances": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]}
    url = "/v1/models/iris:predict"
    with RunningService(tmp_path / "log", models_dir=str(folder.parent.parent), abstain="true") as service:
        sure, unsure = service.client.post(url, json=rows).json()["predictions"]
        assert (sure["label"], "unsure" in sure) == ("setosa", False)
        assert (unsure["label"], unsure["unsure"]) == (None, True)
        assert unsure["reason"] == "the probability of the most likely label is below 0.985"
        assert unsure["probability"] == max(unsure["probabilities"].values())
        _, unsure = service.client.post(f"{url}?abstain=false", json=rows).json()["predictions"]
        assert (unsure["label"], unsure["unsure"]) == ("virginica", True)
        assert service.client.get("/v1/models/iris").json()["abstention"] == {
            "min_probability": 0.985,
            "max_background": None,
        }


def test_health_responses_are_json(service: RunningService) -> None:
    assert service.client.get("/v2/health/live").json() == {"live": True}
    assert service.client.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_head_and_options_are_supported_and_name_the_allowed_methods(service: RunningService) -> None:
    assert service.client.head("/v2/health/ready").status_code == 200
    assert "POST" in service.client.options("/v1/models/iris:predict").headers["Allow"]
    allowed = service.client.get("/v1/models/iris:predict").headers["Allow"]
    assert set(allowed.split(", ")) == {"POST", "OPTIONS"}
