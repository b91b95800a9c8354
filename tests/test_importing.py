"""Networks that none of our code made become bundles, and answer over HTTP what they answer themselves."""

import io
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from in_process import Response, post
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser
from running_service import ROOT
from torch import Tensor, nn

import training
from service.app import create_app
from service.bundle.loading import load_bundle, sha256
from service.bundle.manifest import Bundle
from service.bundle.signature import NUMPY_DTYPES, Datatype
from service.http.routing import DigitalisApp
from service.images.decoding import decode_image, encode_png
from service.images.limits import PixelBudget
from service.inference.version_folders import find_bundles
from service.settings import Settings
from training.__main__ import main
from training.errors import CannotImport
from training.normaliser import normalise

UNFIT = json.loads((ROOT / "tests/corpus/unfit_networks.json").read_text())
IRIS = [[5.1, 3.5, 1.4, 0.2], [6.2, 2.8, 4.8, 1.8], [7.7, 2.6, 6.9, 2.3]]

ZIPMAP = """
<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3], producer_name: "a converter">
classifier (float[n,2] X) => (string[n] label, seq(map(string, float)) probability)
<float[2] unused = {0, 0}>
{
    label, scores = ai.onnx.ml.LinearClassifier <classlabels_strings = ["ham", "spam"], multi_class = 1,
        coefficients = [-1.0, 0.5, 1.0, -0.5], intercepts = [0.25, -0.25], post_transform = "SOFTMAX"> (X)
    probability = ai.onnx.ml.ZipMap <classlabels_strings = ["ham", "spam"]> (scores)
}
"""


def run_import(*arguments: object) -> int:
    return main(["import", *map(str, arguments)])


def served(models: Path) -> DigitalisApp:
    settings = Settings(device="cpu", workers=1, intra_op_threads=1, log_requests="none")
    return create_app(settings, find_bundles(models))


def ask(app: DigitalisApp, path: str, body: Any) -> Response:
    return post(app, path, json.dumps(body).encode(), {"Content-Type": "application/json"})


def bundle_of(folder: Path) -> Bundle:
    return load_bundle(folder)[0]


def write_graph(folder: Path, text: str, name: str = "net.onnx") -> Path:
    path = folder / name
    onnx.save(parser.parse_model(text), path)
    return path


class Classifier(nn.Module):
    """Logits of three classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        """FP32 [n, 4] to FP32 [n, 3]."""
        logits: Tensor = self.layers(x)
        return logits


def probabilities(app: DigitalisApp, name: str, rows: Any) -> NDArray[np.float64]:
    response = ask(app, f"/v1/models/{name}:predict", {"instances": rows})
    assert response.status == 200, response.body
    return np.array([list(one["probabilities"].values()) for one in response.json()["predictions"]])


# A file becomes a bundle.


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module as PyTorch exports it without any option: its batch is that of the example, one row."""
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    torch.onnx.export(Classifier().eval(), (torch.zeros(1, 4),), path, dynamo=True, external_data=False, verbose=False)
    return path


def test_a_network_of_pytorch_with_a_fixed_batch_answers_what_the_module_does(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--labels", "setosa,versicolor,virginica", "--logits", "--models", tmp_path]
    assert run_import(exported, *options) == 0
    assert "its batch was fixed to 1: it may be of any size now" in capsys.readouterr().out
    expected = Classifier().eval()(torch.tensor(IRIS)).softmax(1).detach().numpy()
    assert probabilities(served(tmp_path), "net", IRIS) == pytest.approx(expected, rel=1e-5)


def test_a_classifier_that_names_its_classes_needs_no_option(tmp_path: Path) -> None:
    assert run_import(write_graph(tmp_path, ZIPMAP, "mail.onnx"), "--models", tmp_path / "models") == 0
    bundle = bundle_of(tmp_path / "models/mail/1")
    assert (bundle.task, bundle.labels, [one.name for one in bundle.features]) == (
        "binary",
        ("ham", "spam"),
        ["x1", "x2"],
    )
    (prediction,) = ask(
        served(tmp_path / "models"), "/v1/models/mail:predict", {"instances": [{"x1": 1, "x2": 0}]}
    ).json()["predictions"]
    assert prediction["label"] == "spam"
    assert prediction["probabilities"]["spam"] == pytest.approx(1 / (1 + np.exp(-1.5)), rel=1e-5)


@pytest.mark.parametrize(
    ("output", "options", "expected"),
    [
        ("y = Gemm (x, w)", ["--targets", "price"], 5.0),
        ("y = Gemm (x, w)", ["--labels", "no,yes", "--logits"], 1 / (1 + np.exp(-5))),
        ("l = Gemm (x, w)\n y = Sigmoid (l)", ["--labels", "no,yes"], 1 / (1 + np.exp(-5))),
        ("l = Gemm (x, w)\n s = Constant <value = int64[1] {1}> ()\n y = Squeeze (l, s)", ["--targets", "price"],
         5.0),
    ],
    ids=["a value", "a logit", "a probability", "a vector of values"],
)  # fmt: skip
def test_an_output_of_one_unit_is_a_value_or_two_probabilities(
    tmp_path: Path, output: str, options: list[str], expected: float
) -> None:
    shape = "n" if "Squeeze" in output else "n,1"
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[n,2] x) => (float[{shape}] y) <float[2,1] w = {{1, 2}}> {{ {output} }}"""
    assert run_import(write_graph(tmp_path, text), "--features", "a,b", *options, "--models", tmp_path / "models") == 0
    response = ask(served(tmp_path / "models"), "/v1/models/net:predict", {"instances": [{"a": 1, "b": 2}]})
    (prediction,) = response.json()["predictions"]
    found = prediction["values"]["price"] if "values" in prediction else prediction["probabilities"]["yes"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_samples_name_the_features_and_give_ranges_baselines_and_missing_values(exported: Path, tmp_path: Path) -> None:
    rows = [f"{a / 10},{b},{'' if a % 7 == 0 else 3},1" for a, b in zip(range(60), range(60), strict=True)]
    samples = tmp_path / "rows.csv"
    samples.write_text("\n".join(["length,width,height,depth", *rows]))
    # The module gives no finite number for a missing value: the samples must have none that it cannot take.
    assert run_import(exported, "--labels", "a,b,c", "--logits", "--samples", samples, "--models", tmp_path) == 1
    samples.write_text("\n".join(["length,width,height,depth", *(row.replace(",,", ",3,") for row in rows)]))
    assert run_import(exported, "--labels", "a,b,c", "--logits", "--samples", samples, "--models", tmp_path) == 0
    bundle = bundle_of(tmp_path / "net/1")
    assert [(one.name, one.minimum, one.maximum) for one in bundle.features[:2]] == [
        ("length", 0, 5.9),
        ("width", 0, 59),
    ]
    assert len(bundle.baseline) == 5
    assert sum(bundle.label_fractions) == pytest.approx(1)
    response = ask(served(tmp_path), "/v1/models/net:predict", {"instances": [[100, 1, 3, 1]]})
    assert response.json()["predictions"][0]["warnings"] == ["length = 100 is outside 0.0 to 5.9 seen in training"]


def test_weights_in_a_file_beside_it_are_read_into_the_bundle(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    onnx.save(onnx.load(exported), path, save_as_external_data=True, location="large.data", size_threshold=0)
    assert run_import(path, "--labels", "a,b,c", "--logits", "--models", tmp_path / "models") == 0
    (tmp_path / "large.data").unlink()
    assert probabilities(served(tmp_path / "models"), "large", IRIS).shape == (3, 3)


def test_verify_compares_a_bundle_that_was_imported_with_its_golden_examples(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(exported, "--models", tmp_path) == 0
    assert main(["verify", str(tmp_path / "net/1")]) == 0
    assert "ONNX Runtime  5" in capsys.readouterr().out
    golden = json.loads((tmp_path / "net/1/golden.json").read_text())
    (name,) = golden["outputs"]
    golden["outputs"][name][0][0] += 1
    (tmp_path / "net/1/golden.json").write_text(json.dumps(golden))
    manifest = json.loads((tmp_path / "net/1/manifest.json").read_text())
    manifest["files"]["golden.json"] = sha256((tmp_path / "net/1/golden.json").read_bytes())
    (tmp_path / "net/1/manifest.json").write_text(json.dumps(manifest))
    assert main(["verify", str(tmp_path / "net/1")]) == 1


# Pictures.


class Pictures(nn.Module):
    """Logits of two classes of colour pictures, [n, 3, 16, 12], or of grey ones as a vector."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inputs = inputs
        self.last = nn.Linear(inputs, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels, scaled, to FP32 [n, 2]."""
        logits: Tensor = self.last(pixels.reshape(-1, self.inputs))
        return logits


@pytest.mark.parametrize("suffix", ["onnx", "pt"])
def test_a_network_of_colour_pictures_gets_uploads_in_its_range_and_order(suffix: str, tmp_path: Path) -> None:
    module, path = Pictures(3 * 16 * 12).eval(), tmp_path / f"net.{suffix}"
    if suffix == "onnx":
        example = torch.zeros(1, 3, 16, 12)
        torch.onnx.export(module, (example,), path, dynamo=True, external_data=False, verbose=False)
    else:
        save_torchscript(path, module)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    options = ["--mean", ",".join(map(str, mean)), "--std", ",".join(map(str, std)), "--labels", "cat,dog", "--logits"]
    assert run_import(path, "--image", "16x12x3", *options, "--models", tmp_path / "models") == 0
    pixels = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
    scaled = (torch.tensor(pixels / 255.0) - torch.tensor(mean)) / torch.tensor(std)
    expected = module(scaled.permute(2, 0, 1)[None].float()).softmax(1).detach().numpy()
    app = served(tmp_path / "models")
    assert probabilities(app, "net", [pixels.tolist()]) == pytest.approx(expected, rel=1e-4)
    response = post(app, "/v1/models/net:predict", encode_png(pixels), {"Content-Type": "image/png"})
    found = list(response.json()["predictions"][0]["probabilities"].values())
    assert found == pytest.approx(expected[0].tolist(), rel=1e-4)


def test_a_network_of_digits_gets_what_the_normaliser_makes_of_uploads(tmp_path: Path) -> None:
    module = Pictures(784).eval()
    torch.onnx.export(module, (torch.zeros(1, 784),), tmp_path / "net.onnx", dynamo=True, external_data=False)
    options = ["--image", "28x28", "--preprocess", "digit", "--pixels=-1,1", "--labels", "even,odd", "--logits"]
    assert run_import(tmp_path / "net.onnx", *options, "--models", tmp_path / "models") == 0
    file = (ROOT / "samples/3.png").read_bytes()
    image = normalise(decode_image(file, PixelBudget(10**8)).pixels)
    expected = module(torch.tensor(image / 127.5 - 1).float()[None]).softmax(1).detach().numpy()
    response = post(served(tmp_path / "models"), "/v1/models/net:predict", file, {"Content-Type": "image/png"})
    found = list(response.json()["predictions"][0]["probabilities"].values())
    assert found == pytest.approx(expected[0].tolist(), rel=1e-4)


def test_a_network_of_whole_pixels_gets_them_as_they_are(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (uint8[n,2,2] x) => (float[n,2] y)
        <float[4,2] w = {0.01, 0, 0, 0, 0, 0.01, 0, 0}, int64[2] flat = {-1, 4}>
        { f = Cast <to = 1> (x)
        v = Reshape (f, flat)
        y = MatMul (v, w) }"""
    options = ["--image", "2x2", "--preprocess", "none", "--labels", "a,b", "--logits", "--models", tmp_path / "models"]
    assert run_import(write_graph(tmp_path, text), *options) == 0
    found = probabilities(served(tmp_path / "models"), "net", [[[200, 0], [0, 0]]])
    assert found[0, 0] == pytest.approx(1 / (1 + np.exp(-2)), rel=1e-5)
    assert run_import(tmp_path / "net.onnx", *options, "--pixels", "0,1") == 1


def test_a_network_of_pictures_of_any_size_is_for_those_of_one(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[n,1,height,width] x) => (float[n,2] y) {
        m = ReduceMean <axes = [2, 3], keepdims = 0> (x)
        z = Sub (m, m)
        y = Concat <axis = 1> (m, z) }"""
    options = ["--image", "28x28", "--labels", "light,dark", "--logits", "--models", tmp_path / "models"]
    assert run_import(write_graph(tmp_path, text), *options) == 0
    found = probabilities(served(tmp_path / "models"), "net", [np.full((28, 28), 255).tolist()])
    assert found[0, 0] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-5)


# TorchScript, and Python.


class TwoOutputs(nn.Module):
    """Of FP64 features the class, and what it follows from."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """FP64 [n, 2] to FP64 [n, 2] and [n]."""
        return torch.softmax(x, dim=1), x.sum(dim=1)


def save_torchscript(path: Path, module: nn.Module | None = None) -> None:
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # deprecated: docs/decisions.md
        torch.jit.script(module or TwoOutputs()).save(str(path))


def test_a_torchscript_file_is_served_by_torchscript_whatever_runtime_is_chosen(tmp_path: Path) -> None:
    save_torchscript(tmp_path / "net.pt")
    options = ["--features", "a,b", "--labels", "left,right", "--output", "output_0", "--models", tmp_path / "models"]
    assert run_import(tmp_path / "net.pt", *options) == 0
    app = served(tmp_path / "models")
    assert probabilities(app, "net", [[0, 1]])[0, 1] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-5)
    assert app.models.find("net").runtime.name == "TorchScript"


def test_a_torchscript_file_without_features_needs_the_shapes_of_its_inputs(tmp_path: Path) -> None:
    save_torchscript(tmp_path / "net.pt")
    assert run_import(tmp_path / "net.pt", "--input", "x:FP64:-1,3", "--models", tmp_path / "models") == 0
    response = ask(served(tmp_path / "models"), "/v1/models/net:predict", {"instances": [[0, 0, 0], [1, 2, 3]]})
    assert [one["output_1"] for one in response.json()["predictions"]] == [0, 6]


def test_a_module_is_exported_from_python(tmp_path: Path) -> None:
    labels = ["setosa", "versicolor", "virginica"]
    module = Classifier().train()
    folder = training.export_network(
        module, np.zeros((1, 4), np.float32), name="iris", labels=labels, logits=True, models_dir=tmp_path
    )
    assert folder == tmp_path / "iris/1"
    assert module.training
    expected = Classifier().eval()(torch.tensor(IRIS)).softmax(1).detach().numpy()
    assert probabilities(served(tmp_path), "iris", IRIS) == pytest.approx(expected, rel=1e-5)


# Tensors: any data type, any number of inputs.


def identity_graph(datatypes: list[Datatype]) -> onnx.ModelProto:
    """A graph that returns each of its inputs, [n, 2], as it is."""
    sides: list[list[onnx.ValueInfoProto]] = [[], []]
    for datatype in datatypes:
        element = TensorProto.STRING if datatype == "BYTES" else helper.np_dtype_to_tensor_dtype(NUMPY_DTYPES[datatype])
        for side, name in zip(sides, ("in", "out"), strict=True):
            side.append(helper.make_tensor_value_info(f"{name}_{datatype}", element, ["n", 2]))
    nodes = [helper.make_node("Identity", [f"in_{one}"], [f"out_{one}"]) for one in datatypes]
    graph = helper.make_graph(nodes, "identity", sides[0], sides[1])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


VALUES: dict[Datatype, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [1, 2**32 - 1],
    "UINT64": [1, 2**63 - 1],
    "INT8": [-128, 127],
    "INT16": [-(2**15), 2**15 - 1],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [0.5, -65504],
    "FP32": [0.1, -3e38],
    "FP64": [0.1, 1e300],
    "BYTES": ['a, "b"', "ü\n"],
}


def rounded(datatype: Datatype) -> list[Any]:
    """The values as the data type has them."""
    return list(np.array(VALUES[datatype], NUMPY_DTYPES[datatype]).tolist())


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> DigitalisApp:
    """A network with an input of each data type, and one for each alone."""
    folder = tmp_path_factory.mktemp("tensors")
    onnx.save(identity_graph(list(VALUES)), folder / "all.onnx")
    assert run_import(folder / "all.onnx", "--models", folder / "models") == 0
    for datatype in VALUES:
        onnx.save(identity_graph([datatype]), folder / f"{datatype}.onnx")
        assert run_import(folder / f"{datatype}.onnx", "--models", folder / "models") == 0
    return served(folder / "models")


def test_every_data_type_goes_through_v2_and_back(tensors: DigitalisApp) -> None:
    inputs = [{"name": f"in_{one}", "shape": [1, 2], "datatype": one, "data": values} for one, values in VALUES.items()]
    outputs = ask(tensors, "/v2/models/all/infer", {"inputs": inputs}).json()["outputs"]
    assert [one["datatype"] for one in outputs] == list(VALUES)
    for output in outputs:
        assert output["data"] == rounded(output["datatype"])


@pytest.mark.parametrize("datatype", list(VALUES))
def test_every_data_type_goes_through_v1_and_back(tensors: DigitalisApp, datatype: Datatype) -> None:
    response = ask(tensors, f"/v1/models/{datatype.lower()}:predict", {"instances": [VALUES[datatype]]})
    assert response.status == 200, response.body
    assert response.json()["predictions"][0] == rounded(datatype)


def test_every_data_type_may_be_binary(tensors: DigitalisApp) -> None:
    """BYTES: four bytes of length before each text."""
    parts, inputs = [], []
    for datatype, values in VALUES.items():
        if datatype == "BYTES":
            parts.append(b"".join(len(b).to_bytes(4, "little") + b for b in (text.encode() for text in values)))
        else:
            parts.append(np.array(values, NUMPY_DTYPES[datatype]).tobytes())
        size = {"binary_data_size": len(parts[-1])}
        inputs.append({"name": f"in_{datatype}", "shape": [1, 2], "datatype": datatype, "parameters": size})
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    response = post(tensors, "/v2/models/all/infer", header + b"".join(parts), length)
    assert response.status == 200, response.body
    end = int({name.lower(): value for name, value in response.headers.items()}["inference-header-content-length"])
    assert response.body[end:] == b"".join(parts)


def test_several_inputs_are_an_object_in_v1(tensors: DigitalisApp) -> None:
    row = {f"in_{datatype}": values for datatype, values in VALUES.items()}
    response = ask(tensors, "/v1/models/all:predict", {"instances": [row, row]})
    assert response.json()["predictions"][1]["out_BYTES"] == VALUES["BYTES"]
    del row["in_INT8"]
    response = ask(tensors, "/v1/models/all:predict", {"instances": [row]})
    assert response.json()["error"] == "instances[0]: object missing required field in_INT8"


@pytest.mark.parametrize(
    ("datatype", "row", "error"),
    [
        ("uint8", [0, 256], "instances[0][1]: expected int <= 255"),
        ("int32", [0, 1.5], "instances[0][1]: expected int, got float"),
        ("bool", [0, 1], "instances[0][0]: expected bool, got int"),
        ("fp16", [0, 1e6], "instances[0][1] is not a finite FP16 number"),
        ("bytes", ["a", 1], "instances[0][1]: expected str, got int"),
        ("fp32", [0, 1, 2], "instances[0]: its shape is [3], expected [2]"),
        ("fp32", 1, "instances[0]: expected array, got int"),
    ],
)
def test_a_value_that_is_none_of_its_data_type_is_named(
    tensors: DigitalisApp, datatype: str, row: Any, error: str
) -> None:
    response = ask(tensors, f"/v1/models/{datatype}:predict", {"instances": [row]})
    assert (response.status, response.json()["error"]) == (400, error)


def test_dimensions_of_any_size_are_those_of_the_request(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        net (float[n,length] x) => (float[n] total) { s = Constant <value = int64[1] {1}> ()
        total = ReduceSum <keepdims = 0> (x, s) }"""
    assert run_import(write_graph(tmp_path, text), "--models", tmp_path / "models") == 0
    app = served(tmp_path / "models")
    for row in ([1, 2], [1, 2, 3, 4]):
        assert ask(app, "/v1/models/net:predict", {"instances": [row]}).json()["predictions"] == [sum(row)]
    response = ask(app, "/v1/models/net:predict", {"instances": [[1], [1, 2]]})
    assert response.json()["error"].startswith("instances[1]: its shape is [2], and that of the first instance [1]")


def test_inputs_of_different_numbers_of_rows_are_refused(tensors: DigitalisApp) -> None:
    inputs = [{"name": f"in_{one}", "shape": [1, 2], "datatype": one, "data": row} for one, row in VALUES.items()]
    inputs[0] |= {"shape": [2, 2], "data": [True] * 4}
    response = ask(tensors, "/v2/models/all/infer", {"inputs": inputs})
    assert response.status == 400
    assert "the numbers of rows differ: in_BOOL 2, in_UINT8 1" in response.json()["error"]


def test_inputs_that_the_network_cannot_be_run_with_are_the_clients_mistake(tmp_path: Path) -> None:
    """An index that its table does not have: more may be wrong with tensors than their signature says."""
    text = """<ir_version: 8, opset_import: ["" : 17]> net (int64[n,2] ids) => (float[n,2] y)
        <float[3] table = {1, 2, 3}> { y = Gather (table, ids) }"""
    assert run_import(write_graph(tmp_path, text), "--models", tmp_path / "models") == 0
    app = served(tmp_path / "models")
    assert ask(app, "/v1/models/net:predict", {"instances": [[0, 2]]}).json()["predictions"] == [[1, 3]]
    response = ask(app, "/v1/models/net:predict", {"instances": [[0, 200]]})
    assert response.status == 422
    assert response.json()["error"].startswith("net cannot be run with ids [1, 2]: ")


def test_a_dimension_of_any_size_may_be_none(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        net (float[n,length] x) => (float[n,length] y) { y = Identity (x) }"""
    assert run_import(write_graph(tmp_path, text), "--models", tmp_path / "models") == 0
    app = served(tmp_path / "models")
    tensor = {"name": "x", "shape": [2, 0], "datatype": "FP32", "data": []}
    assert ask(app, "/v2/models/net/infer", {"inputs": [tensor]}).json()["outputs"][0]["shape"] == [2, 0]
    response = ask(app, "/v2/models/net/infer", {"inputs": [tensor | {"shape": [1, 4]}]})
    assert response.json()["error"] == "x: 0 values in data, expected 4 for shape [1, 4]"


def test_a_row_of_one_element_may_be_the_element(tmp_path: Path) -> None:
    """As columns of a table are, which converters of pipelines make inputs of."""
    text = """<ir_version: 8, opset_import: ["" : 17]> net (string[n,1] city, float[n,1] income) => (string[n,1] a,
        float[n,1] b) { a = Identity (city)
        b = Identity (income) }"""
    assert run_import(write_graph(tmp_path, text), "--models", tmp_path / "models") == 0
    app = served(tmp_path / "models")
    rows = [{"city": "Rome", "income": 3}, {"city": ["Bern"], "income": [4]}]
    found = ask(app, "/v1/models/net:predict", {"instances": rows}).json()["predictions"]
    assert found == [{"a": ["Rome"], "b": [3]}, {"a": ["Bern"], "b": [4]}]


def test_a_classifier_may_be_served_as_tensors(tmp_path: Path) -> None:
    path = write_graph(tmp_path, ZIPMAP, "mail.onnx")
    assert run_import(path, "--tensors", "--models", tmp_path / "models") == 0
    assert bundle_of(tmp_path / "models/mail/1").task == "tensors"
    assert run_import(path, "--tensors", "--labels", "ham,spam", "--models", tmp_path / "models") == 1


def test_a_network_of_half_precision_is_as_good_as_its_file(tmp_path: Path) -> None:
    module = Classifier().half().eval()
    torch.onnx.export(module, (torch.zeros(1, 4).half(),), tmp_path / "net.onnx", dynamo=True, external_data=False)
    assert run_import(tmp_path / "net.onnx", "--labels", "a,b,c", "--logits", "--models", tmp_path / "models") == 0
    expected = module(torch.tensor(IRIS).half()).softmax(1).detach().float().numpy()
    assert probabilities(served(tmp_path / "models"), "net", IRIS) == pytest.approx(expected, abs=5e-3)


# What cannot be served says why, and what to do.


def unfit_file(case: dict[str, Any], folder: Path) -> Path:
    """The file of a case: an ONNX graph in words, bytes, or one that PyTorch writes."""
    path: Path = folder / case["file"]
    writers: dict[str, Callable[[], object]] = {
        "pickle": lambda: path.write_bytes(pickle.dumps({"weights": [1.0]})),
        "state dict": lambda: torch.save(Classifier().state_dict(), path),
        "module": lambda: torch.save(Classifier(), path),
        "half": lambda: path.write_bytes(parser.parse_model(ZIPMAP).SerializeToString()[:-40]),
        "torchscript": lambda: save_torchscript(path),
        "missing weights": lambda: onnx.save(missing_weights(), path),
        "": lambda: path.write_bytes(case["bytes"].encode()),
    }
    if graph := case.get("graph"):
        return write_graph(folder, graph, case["file"])
    writers[case.get("made", "")]()
    return path


def missing_weights() -> onnx.ModelProto:
    """A graph whose weights were in a file that is lost."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> net (float[n,2] x) => (float[n,1] y)'
        " <float[2,1] w = {1, 2}> { y = Gemm (x, w) }"
    )
    (weights,) = model.graph.initializer
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights), "w"))
    buffer = io.BytesIO()
    buffer.write(weights.raw_data)
    onnx.external_data_helper.set_external_data(weights, location="weights.bin")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    return model


@pytest.mark.parametrize("case", UNFIT, ids=[case["name"] for case in UNFIT])
def test_a_file_that_cannot_be_served_says_why_and_what_to_do(
    case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = unfit_file(case, tmp_path)
    assert run_import(path, *case.get("options", []), "--models", tmp_path / "models") == 1
    said = capsys.readouterr().err
    assert case["says"] in said, said
    assert not list((tmp_path / "models").glob("*"))


def test_an_example_without_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotImport, match=r"an example has shape \[4\], without a batch: example\[None\] is a batch"):
        training.export_network(Classifier(), torch.zeros(4), name="net", models_dir=tmp_path)


def test_a_module_that_cannot_be_exported_is_an_error_with_the_reason(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(CannotImport, match="Branching: PyTorch cannot export it to ONNX"):
        training.export_network(Branching(), torch.zeros(1, 4), name="net", models_dir=tmp_path)
