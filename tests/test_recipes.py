"""Every system of the lectures: trained from scratch, and as it lies in `models/`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from conftest import MODELS
from running_service import ROOT, clean_environment
from torch.nn import BatchNorm1d

from service.bundle.manifest import REPORT, load_bundle
from service.inference.repository import find_bundles
from training.datasets import checksum, open_dataset
from training.errors import BadRecipe, Diverged
from training.learning.fit import fit
from training.learning.seed_sweep import trials
from training.learning.tasks import right, wanted
from training.learning.train import parted, train
from training.learning.validate import check
from training.networks.network import Standardise, build, folded, prepared
from training.progress import Progress
from training.recipes import RECIPES, collected, iris
from training.recipes.recipe import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Background,
    Bar,
    ByHand,
    Descent,
    Distortion,
    Optimiser,
    Recipe,
)

TEXTBOOK = [recipe for recipe in RECIPES.values() if recipe.dataset != "mnist"]
HALVES = {"first half": TEXTBOOK[::2], "second half": TEXTBOOK[1::2]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every textbook recipe, trained and exported from scratch by two commands at a time, each on a core."""
    models = tmp_path_factory.mktemp("textbook") / "models"
    running = [
        subprocess.Popen(
            (sys.executable, "-m", "training", "train", *(r.name for r in half), "--models-dir", str(models)),
            cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for half in HALVES.values()
    ]  # fmt: skip
    for process in running:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
    return models


@pytest.mark.parametrize("recipe", TEXTBOOK, ids=lambda recipe: recipe.name)
def test_a_textbook_recipe_trains_from_scratch_and_reaches_its_bar(trained: Path, recipe: Recipe) -> None:
    bundle, _ = load_bundle(trained / recipe.name / "1")
    bar = recipe.bar
    reached = bundle.metrics[f"{bar.metric}_mean" if bar.seeds > 1 else bar.metric]
    assert reached >= bar.value
    assert bundle.metrics == pytest.approx(load_bundle(committed(recipe.name))[0].metrics, rel=0.05, abs=0.02)


def committed(name: str) -> Path:
    """The one version of a recipe that lies in `models/`."""
    (folder,) = (MODELS / name).iterdir()
    return folder


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_the_committed_bundle_is_what_the_recipe_makes(recipe: Recipe) -> None:
    bundle, contents = load_bundle(committed(recipe.name))
    assert msgspec.convert(bundle.recipe, Recipe) == recipe
    assert bundle.task == recipe.task
    assert REPORT in contents


@pytest.mark.parametrize("recipe", TEXTBOOK, ids=lambda recipe: recipe.name)
def test_the_committed_bundle_names_the_data_that_it_was_made_from(recipe: Recipe, tmp_path: Path) -> None:
    assert names_its_data(recipe, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "mnist-deep", "mnist-dropout", "mnist-dropout-slow"])
def test_the_committed_digits_bundle_names_the_data_that_it_was_made_from(name: str, mnist_dir: Path) -> None:
    assert names_its_data(RECIPES[name], mnist_dir)


def names_its_data(recipe: Recipe, data_dir: Path) -> bool:
    bundle, _ = load_bundle(committed(recipe.name))
    dataset = open_dataset(recipe.dataset, data_dir)
    train, held_out = dataset.train(bundle.seed), dataset.held_out(bundle.seed)
    rows = len(train.targets), len(held_out.targets) if held_out else 0
    assert rows == (bundle.data.train_rows, bundle.data.held_out_rows)
    return bundle.data.checksum == checksum(train, *([held_out] if held_out else []))


def test_models_holds_the_recipes_bundles_and_no_other() -> None:
    assert {folder.parent.name for folder in find_bundles(MODELS)} == set(RECIPES)


def test_no_two_recipes_share_a_name() -> None:
    with pytest.raises(BadRecipe, match=r"two recipes are named 'iris'; one is in training\.recipes\.iris"):
        collected([iris, iris])


def test_the_bundles_of_textbooks_are_small() -> None:
    """The networks are a few KB; the page with its pictures is the larger part."""
    for recipe in TEXTBOOK:
        sizes = {path.name: path.stat().st_size for path in committed(recipe.name).iterdir()}
        assert sizes["model.onnx"] + sizes["model.pt"] < 40_000, recipe.name
        assert sizes[REPORT] < 130_000, recipe.name


def test_the_lectures_figures_are_reached() -> None:
    def metrics(name: str) -> dict[str, float]:
        return load_bundle(committed(name))[0].metrics

    assert metrics("mnist-deep")["accuracy"] >= 0.9761
    assert metrics("xor")["trials_reaching_bar"] >= 95
    assert metrics("xor")["trials"] == 100
    assert metrics("mnist-dropout")["accuracy"] < 0.92 < metrics("mnist-dropout-slow")["accuracy"]
    assert metrics("versicolor-neuron")["accuracy"] < 0.75 < metrics("versicolor-sepal")["accuracy"]
    for data in ("moons", "spirals"):
        deep, tamed = metrics(f"{data}-deep"), metrics(f"{data}-deep-l2")
        assert deep["train_accuracy_mean"] - deep["accuracy_mean"] > 0.08
        assert tamed["accuracy_mean"] > deep["accuracy_mean"]
        assert tamed["train_accuracy_mean"] < deep["train_accuracy_mean"]


@pytest.mark.parametrize("name", ["xor", "versicolor-sepal"])
def test_networks_trained_as_one_batch_are_those_trained_alone(name: str) -> None:
    """The first three seeds; `versicolor-sepal` has another optimiser."""
    descent = msgspec.structs.replace(RECIPES[name].descent, epochs=300)
    recipe = msgspec.structs.replace(RECIPES[name], trials=3, fit=descent)
    data = open_dataset(recipe.dataset, ROOT).train(0)
    together = trials(recipe, descent, data)
    for seed in range(3):
        network = prepared(recipe, data, seed)
        progress = Progress.silent()
        progress.run(recipe, seed)
        fit(network, data, recipe, seed, progress)
        with torch.no_grad():
            alone = network.layers(network.scale(data.inputs))
        torch.testing.assert_close(together[seed], alone, atol=1e-3, rtol=1e-3)
        targets = wanted(recipe.task, data.targets, network)
        assert right(recipe.task, together[seed], targets) == right(recipe.task, alone, targets)


def test_a_column_that_never_varies_is_scaled_to_zero() -> None:
    scale = Standardise(2)
    scale.learn(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert scale(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_dropout_silences_units_in_training_alone() -> None:
    recipe = msgspec.structs.replace(
        RECIPES["wine"], fit=Descent(Adam(0.01), batch=32, epochs=1, dropout=0.5), scaling="none"
    )
    torch.manual_seed(0)
    network, rows = build(recipe), torch.randn(4, 13)
    network.train()
    assert not torch.equal(network(rows), network(rows))
    network.eval()
    assert torch.equal(network(rows), network(rows))


def test_batch_norm_is_inside_plain_layers_once_training_is_over() -> None:
    recipe = msgspec.structs.replace(
        RECIPES["wine"], fit=Descent(Adam(0.01), batch=32, epochs=3, batch_norm=True), bar=Bar("accuracy", 0.9)
    )
    dataset = open_dataset("wine", ROOT)
    data = dataset.train(0)
    network = prepared(recipe, data, 0)
    assert sum(isinstance(layer, BatchNorm1d) for layer in network.layers) == len(recipe.layers) - 2
    progress = Progress.silent()
    progress.run(recipe, 0)
    fit(network, data, recipe, 0, progress)
    before = network.eval()(data.inputs)
    network.layers = folded(network.layers)
    torch.testing.assert_close(network(data.inputs), before, atol=1e-5, rtol=1e-5)
    trained = train(recipe, dataset, torch.device("cpu"), 1, progress)
    assert [*trained.network.state_dict()] == [*build(recipe).state_dict()]
    assert trained.metrics["accuracy"] >= 0.9


def test_a_rate_that_is_too_high_is_called_that() -> None:
    recipe = RECIPES["linear-regression"]
    recipe = msgspec.structs.replace(recipe, fit=Descent(SGD(10.0), batch=3, epochs=100))
    with pytest.raises(Diverged, match=r"linear-regression: the loss is no number after epoch \d+: the rate 10 is"):
        train(recipe, open_dataset("points", ROOT), torch.device("cpu"), 1, Progress.silent())


@pytest.mark.parametrize("steps", [1, 2, 10, 40])
@pytest.mark.parametrize("optimiser", [SGD(0.1), Adam(), AdamW()], ids=lambda one: type(one).__name__)
def test_a_rate_goes_up_and_down_in_one_cycle_of_any_length(optimiser: Optimiser, steps: int) -> None:
    recipe = RECIPES["xor"]
    fit = Descent(optimiser, batch=4, epochs=steps, schedule="one-cycle")
    recipe = msgspec.structs.replace(recipe, fit=fit, trials=0, bar=Bar("accuracy", 0.0))
    trained = train(recipe, open_dataset("xor", ROOT), torch.device("cpu"), 1, Progress.silent())
    assert len(trained.curve) == steps


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-deep", "mnist-dropout", "mnist-dropout-slow"])
def test_a_recipe_of_digits_trains_from_scratch_past_its_bar(name: str, mnist_dir: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "training", "train", name, "--models-dir", str(tmp_path))
    environment = clean_environment(data_dir=str(mnist_dir))
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert load_bundle(tmp_path / name / "1")[0].metrics["accuracy"] >= RECIPES[name].bar.value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "lilies"}, "no data set 'lilies': there are mnist, iris, "),
        ({"task": "regression"}, "recipe xor: task 'regression': xor is for binary or multiclass"),
        ({"layers": (3, 3, 1)}, "recipe xor: layers (3, 3, 1): xor has 2 inputs, and this task 1 output(s)"),
        ({"layers": (2, 3, 2)}, "recipe xor: layers (2, 3, 2): xor has 2 inputs, and this task 1 output(s)"),
        ({"scaling": "unit"}, "recipe xor: scaling 'unit' is not for xor"),
        ({"fit": ByHand.layers([(7, 7, -9)])}, "recipe xor: the weights set by hand are not those of layers (2, 3, 1)"),
        ({"fit": Descent(Adam(0.01), batch=2, epochs=1)}, "recipe xor: trials: as one batch, only classifiers"),
        ({"scaling": "normalised"}, "recipe xor: Invalid enum value 'normalised' - at `$.scaling`"),
        ({"activation": "gelu"}, "recipe xor: Invalid enum value 'gelu' - at `$.activation`"),
        ({"layers": (2,)}, "recipe xor: Expected `array` of length >= 2 - at `$.layers`"),
        ({"fit": Descent(SGD(1.0), batch=4, epochs=0)}, "recipe xor: Expected `int` >= 1 - at `$.fit.epochs`"),
        ({"bar": Bar("accuracy", 9)}, "recipe xor: Expected `float` <= 1.0 - at `$.bar.value`"),
        ({"name": "X or"}, "recipe X or: a name is of lower-case letters"),
        (
            {"fit": Descent(SGD(1.0), batch=4, epochs=1, distortion=Distortion()), "trials": 0},
            "recipe xor: distortion, teacher: xor holds no images",
        ),
        (
            {"fit": Descent(Adagrad(), batch=4, epochs=1, schedule="one-cycle"), "trials": 0},
            "recipe xor: schedule 'one-cycle': its momentum goes down and up, and Adagrad has none",
        ),
        (
            {"fit": Descent(Adam(), batch=3, epochs=1, batch_norm=True), "trials": 0},
            "recipe xor: batch_norm: its mini-batches, the last one too, must have two rows or more",
        ),
        ({"bar": Bar("r2", 0.5)}, "recipe xor: bar 'r2': a regression is judged by r2"),
        ({"validation": 4}, "recipe xor: validation 4 of 4 rows"),
        ({"validation": 1}, "recipe xor: validation: for classes that are learned by gradient descent"),
        (
            {"fit": Descent(Adam(), 4, 1, background=Background(Adam(), 4, 1, 3, strangers=5)), "trials": 0},
            "recipe xor: background: for mnist, not for xor",
        ),
    ],
)
def test_a_recipe_that_contradicts_its_data_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    recipe = msgspec.structs.replace(RECIPES["xor"], **changes)
    with pytest.raises(BadRecipe) as refused:
        train(recipe, open_dataset(recipe.dataset, ROOT), torch.device("cpu"), 1, Progress.silent())
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation": 0}, "background: its threshold is found on validation rows"),
        ({"layers": (784, 20, 11)}, "layers (784, 20, 11): mnist has 784 inputs, and this task 10 output(s)"),
    ],
)
def test_a_background_needs_validation_rows_and_no_unit_of_the_classes(
    mnist_dir: Path, changes: dict[str, Any], words: str
) -> None:
    recipe = msgspec.structs.replace(RECIPES["mnist"], **changes)
    dataset = open_dataset("mnist", mnist_dir)
    with pytest.raises(BadRecipe) as refused:
        check(recipe, dataset, dataset.train(0))
    assert words in str(refused.value)


def test_validation_rows_are_the_last_and_what_is_added_comes_after_the_rest(mnist_dir: Path) -> None:
    recipe = RECIPES["mnist"]
    data = open_dataset("mnist", mnist_dir).train(0)
    learned, validation = parted(recipe, data)
    assert validation
    assert (len(learned.targets), len(validation.targets)) == (55_000, 5_000)
    assert torch.equal(validation.inputs, data.inputs[55_000:])
