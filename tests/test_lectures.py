"""The examples that the lectures compute by hand, by our own networks and losses; and docs/lectures.md."""

import math
import re

import numpy as np
import pytest
import torch
from conftest import MODELS
from running_service import ROOT
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import one_hot

from training.datasets import open_dataset
from training.learning import tasks
from training.learning.train import evaluate
from training.lectures.document import SYSTEMS, document_lines
from training.lectures.pictures import render_pictures
from training.lectures.rows import LatestBundles
from training.lectures.worked_examples import (
    activation_and_derivative,
    forward_and_backward,
    linear_layer,
    merge_linear,
    softmax_regression_step,
)
from training.networks.mlp import mlp
from training.networks.network import BinaryProbabilities, build
from training.recipes import RECIPES
from training.recipes.recipe import Recipe

ANY_NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def close(found: torch.Tensor, expected: object, digits: int = 4) -> bool:
    return torch.allclose(found.double(), torch.tensor(expected).double(), atol=0.51 * 10**-digits, rtol=0)


def test_a_linear_layer_written_out_is_nn_linear_with_the_weight_transposed() -> None:
    torch.manual_seed(0)
    layer, rows = nn.Linear(4, 3), torch.randn(7, 4)
    torch.testing.assert_close(linear_layer(rows, layer.weight.T, layer.bias), layer(rows))


def test_two_linear_layers_equal_one() -> None:
    torch.manual_seed(0)
    first, second = mlp((4, 3, 2), "none")[::2]
    rows = torch.randn(7, 4)
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    torch.testing.assert_close(merge_linear(first, second)(rows), second(first(rows)))


@pytest.mark.parametrize(
    ("layers", "count"), [((4, 3), 15), ((4, 3, 1), 19), ((2, 2, 2), 12), ((2, 2, 1), 9), ((4, 8, 3), 67)]
)
def test_the_number_of_parameters_of_an_mlp(layers: tuple[int, ...], count: int) -> None:
    assert sum(parameter.numel() for parameter in mlp(layers).parameters()) == count


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_a_recipe_knows_the_number_of_parameters_of_its_network(recipe: Recipe) -> None:
    assert sum(parameter.numel() for parameter in build(recipe).parameters()) == recipe.num_parameters


@pytest.mark.parametrize(
    ("learning_rate", "theta"),
    [
        (0.1, [[0.1537, 0.1463], [0.3269, 0.3731]]),
        (0.01, [[0.1054, 0.1946], [0.3027, 0.3973]]),  # the slide shows it truncated, for learning rate 0.1
    ],
)
def test_one_step_of_softmax_regression(learning_rate: float, theta: list[list[float]]) -> None:
    assert close(softmax_regression_step(learning_rate), theta)


def test_one_hot_encoding_is_a_row_of_the_identity() -> None:
    hours = open_dataset("hours-score", ROOT)
    assert one_hot(hours.train(0).targets).tolist() == np.eye(4, dtype=int)[[0, 0, 1, 1, 2, 2, 3, 3]].tolist()


def test_forward_and_backward_pass_by_hand() -> None:
    found = forward_and_backward()
    assert [round(value, 4) for value in (found.logit, found.probability, found.loss)] == [0.18, 0.5449, 0.7872]
    assert close(found.hidden_weight, [[0.0946, 0.0891]] * 2)
    assert close(found.hidden_bias, [0.0946] * 2)
    assert close(found.output_weight, [[0.0782] * 2])
    assert close(found.output_bias, [0.0455])


def test_cross_entropy_of_two_logits() -> None:
    loss = tasks.loss("multiclass", torch.tensor([[0.0580, 0.4275]]), torch.tensor([[1.0, 0.0]]))
    assert round(loss.item(), 4) == 0.8949


def test_softmax_of_four_logits_and_its_cross_entropy() -> None:
    logits = torch.tensor([[2.6, 1.5, 0.2, 0.6]])
    assert close(torch.softmax(logits, dim=1), [[0.64, 0.21, 0.06, 0.09]], digits=2)
    loss = tasks.loss("multiclass", logits, torch.tensor([[0.0, 1.0, 0.0, 0.0]]))
    assert loss.item() == pytest.approx(-math.log(torch.softmax(logits, dim=1)[0, 1].item()), abs=1e-6)


def test_cross_entropy_of_two_classes_is_binary_cross_entropy_of_the_difference() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(20, 2), torch.randint(2, (20,))
    two = tasks.loss("multiclass", logits, one_hot(targets, 2).float())
    one = tasks.loss("binary", logits[:, 1:] - logits[:, :1], targets.unsqueeze(1).float())
    torch.testing.assert_close(two, one)
    torch.testing.assert_close(torch.softmax(logits, dim=1), BinaryProbabilities()(logits[:, 1:] - logits[:, :1]))


def test_squared_error_is_averaged_over_values_and_rows() -> None:
    loss = tasks.loss("regression", torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    assert loss.item() == pytest.approx((0 + 4 + 9 + 0) / 4)


def test_logistic_regression_equals_that_in_numpy() -> None:
    """Probabilities and loss, with weights that scikit-learn fitted."""
    data = open_dataset("versicolor-sepal", ROOT).train(0)
    fitted = LogisticRegression().fit(data.inputs.numpy(), data.targets.numpy())
    rows, targets = data.inputs.numpy().astype(float), data.targets.numpy()
    probabilities = 1 / (1 + np.exp(-(rows @ fitted.coef_[0] + fitted.intercept_[0])))
    loss = -(targets * np.log(probabilities) + (1 - targets) * np.log(1 - probabilities)).mean()
    layers = mlp((2, 1))
    with torch.no_grad():
        layers[0].weight.copy_(torch.from_numpy(fitted.coef_))  # type: ignore[operator]
        layers[0].bias.copy_(torch.from_numpy(fitted.intercept_))  # type: ignore[operator]
        logits = layers(data.inputs)
    np.testing.assert_allclose(BinaryProbabilities()(logits)[:, 1].numpy(), probabilities, atol=1e-5)
    assert tasks.loss("binary", logits, data.targets.unsqueeze(1).float()).item() == pytest.approx(loss, abs=1e-5)


def test_activations_and_their_derivatives() -> None:
    inputs = torch.tensor([0.18, -0.18])
    assert close(activation_and_derivative("sigmoid", inputs)[0], [0.5449, 0.4551])
    assert close(activation_and_derivative("relu", inputs)[0], [0.18, 0.0])
    assert close(activation_and_derivative("tanh", inputs)[0], [0.1781, -0.1781])
    assert close(activation_and_derivative("leaky-relu", inputs)[0], [0.18, -0.0018])
    assert close(activation_and_derivative("leaky-relu", inputs)[1], [1.0, 0.01])
    x = torch.linspace(-5, 5, 101)
    sigmoid, tanh = activation_and_derivative("sigmoid", x), activation_and_derivative("tanh", x)
    torch.testing.assert_close(tanh[0], 2 * torch.sigmoid(2 * x) - 1)
    torch.testing.assert_close(sigmoid[1], sigmoid[0] * (1 - sigmoid[0]))
    torch.testing.assert_close(tanh[1], 1 - tanh[0] ** 2)


@pytest.mark.parametrize(("name", "correct"), [("versicolor-by-hand", 106), ("versicolor-by-hand-or", 53)])
def test_two_lines_with_fixed_weights_classify_as_many_irises_as_the_lectures(name: str, correct: int) -> None:
    data = open_dataset("versicolor-sepal", ROOT).train(0)
    assert round(evaluate(LatestBundles(MODELS).network(name), RECIPES[name], data)["accuracy"] * 150) == correct


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """docs/lectures.md, made now."""
    return list(document_lines(LatestBundles(MODELS)))


def test_the_document_is_what_the_command_makes_now(lines: list[str]) -> None:
    """All words are equal, and all numbers but for rounding differences between machines."""
    written = (ROOT / "docs/lectures.md").read_text().splitlines()
    assert [ANY_NUMBER.sub("#", line) for line in written] == [ANY_NUMBER.sub("#", line) for line in lines]
    for old, new in zip(written, lines, strict=True):
        pairs = zip(ANY_NUMBER.findall(old), ANY_NUMBER.findall(new), strict=True)
        for before, now in ((float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs):
            assert now == pytest.approx(before, rel=0.02, abs=2e-6), old


def test_the_document_has_all_eighteen_rows(lines: list[str]) -> None:
    assert len(SYSTEMS) == 18
    (start,) = [i for i, line in enumerate(lines) if line.startswith("| 1 | Review 2")]
    assert [line.split(" | ")[0] for line in lines[start : start + 18]] == [f"| {n}" for n in range(1, 19)]


def test_and_is_within_five_percent_of_the_lectures_last_figures(lines: list[str]) -> None:
    (row,) = [line for line in lines if line.startswith("| 6 | 03.")]
    cells = row.split(" | ")
    reported = [float(n) for n in re.findall(r"\d\.\d{4}e-\d\d", cells[3])]
    ours = [float(n) for n in re.findall(r"\d\.\d{4}e-\d\d", cells[4])]
    assert ours == pytest.approx(reported, rel=0.05)


def test_the_pictures_of_the_lectures_are_rendered() -> None:
    pictures = dict(render_pictures(LatestBundles(MODELS)))
    assert list(pictures) == ["activations.png", "gates.png", "versicolor.png", "moons.png", "spirals.png"]
    assert all(content.startswith(b"\x89PNG") and len(content) > 5000 for content in pictures.values())
