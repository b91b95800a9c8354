"""Networks of other libraries as ONNX, and what each library itself answers: NAME.onnx and NAME.npz, in a folder.

Run by tests/test_foreign_networks.py in an environment that has these libraries, and nothing of this project. Each file
is made as its library's documentation says.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import magika
import numpy as np
import onnxruntime
import torch
from lightgbm import LGBMClassifier
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from xgboost import XGBClassifier

FOLDER = Path(sys.argv[1])
FLOWERS, CLASSES = load_iris(return_X_y=True)
FLOWERS = FLOWERS.astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])[CLASSES]
FOUR_FLOATS: Any = [("input", FloatTensorType([None, 4]))]


def scikit_learn_mlp(path: Path) -> dict[str, Any]:
    """A pipeline with a scaler, whose classes are texts."""
    model = make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=2000, random_state=0)).fit(FLOWERS, NAMES)
    path.write_bytes(to_onnx(model, FLOWERS[:1]).SerializeToString())
    return {"x": FLOWERS, "y": model.predict_proba(FLOWERS)}


def scikit_learn_forest(path: Path) -> dict[str, Any]:
    """Trees, whose classes are numbers."""
    model = RandomForestClassifier(50, random_state=0).fit(FLOWERS, CLASSES)
    path.write_bytes(to_onnx(model, FLOWERS[:1], options={"zipmap": False}).SerializeToString())
    return {"x": FLOWERS, "y": model.predict_proba(FLOWERS)}


def scikit_learn_regression(path: Path) -> dict[str, Any]:
    """Of FP64 features."""
    rows, targets = load_diabetes(return_X_y=True)
    model = LinearRegression().fit(rows, targets)
    path.write_bytes(to_onnx(model, rows[:1]).SerializeToString())
    return {"x": rows.astype(np.float32), "y": model.predict(rows.astype(np.float32).astype(np.float64))}


def xgboost(path: Path) -> dict[str, Any]:
    """Boosted trees."""
    model = XGBClassifier(n_estimators=20).fit(FLOWERS, CLASSES)
    path.write_bytes(convert_xgboost(model, initial_types=FOUR_FLOATS).SerializeToString())
    return {"x": FLOWERS, "y": model.predict_proba(FLOWERS)}


def lightgbm(path: Path) -> dict[str, Any]:
    """Boosted trees, with a map of probabilities as output."""
    model = LGBMClassifier(n_estimators=20, verbose=-1).fit(FLOWERS, CLASSES)
    path.write_bytes(convert_lightgbm(model, initial_types=FOUR_FLOATS).SerializeToString())
    return {"x": FLOWERS, "y": model.predict_proba(FLOWERS)}


def keras_classifier(path: Path) -> dict[str, Any]:
    """A functional model on the backend of PyTorch."""
    scale = keras.layers.Normalization(mean=FLOWERS.mean(0), variance=FLOWERS.var(0))
    layers = [keras.Input((4,)), scale, keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(FLOWERS, CLASSES, epochs=20, verbose=0)
    model.export(path, format="onnx", verbose=False)
    return {"x": FLOWERS, "y": model.predict(FLOWERS, verbose=0)}


def pytorch_pictures(path: Path) -> dict[str, Any]:
    """A convolutional network of colour pictures, exported with a batch of one."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    module = nn.Sequential(*layers).eval()
    torch.onnx.export(module, (torch.zeros(1, 3, 16, 16),), path, dynamo=True, external_data=False, verbose=False)
    pictures = torch.rand(7, 3, 16, 16)
    return {"x": pictures.numpy(), "y": module(pictures).detach().numpy()}


def magika_file_types(path: Path) -> dict[str, Any]:
    """The public network that the package magika ships: 2,048 bytes of a file to the probabilities of 214 types."""
    (shipped,) = (Path(magika.__file__).parent / "models").glob("*/model.onnx")
    shutil.copy(shipped, path)
    contents = np.random.default_rng(0).integers(0, 256, (5, 2048)).astype(np.int32)
    session = onnxruntime.InferenceSession(path)
    return {"x": contents, "y": session.run(None, {session.get_inputs()[0].name: contents})[0]}


NETWORKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "sklearn-mlp": scikit_learn_mlp,
    "sklearn-forest": scikit_learn_forest,
    "sklearn-regression": scikit_learn_regression,
    "xgboost": xgboost,
    "lightgbm": lightgbm,
    "keras": keras_classifier,
    "pytorch-pictures": pytorch_pictures,
    "magika": magika_file_types,
}

for name, make in NETWORKS.items():
    np.savez(FOLDER / f"{name}.npz", **make(FOLDER / f"{name}.onnx"))
