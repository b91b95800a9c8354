"""Every recipe: trained from scratch, and as its bundle in `models/`."""

import copy
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import torch
from conftest import MODELS
from running_service import ROOT, clean_environment
from torch.nn import BatchNorm1d, BatchNorm2d

from service.bundle.loading import load_bundle
from service.bundle.manifest import REPORT, Column
from service.inference.version_folders import find_bundles
from training.bundles.golden_examples import golden_examples
from training.bundles.model_files import signature_of
from training.datasets import open_dataset
from training.datasets.dataset import Split, checksum
from training.errors import BadRecipe, BelowThreshold, Diverged
from training.learning.fit import fit
from training.learning.optimisation import make_step
from training.learning.seed_sweep import train_sweep
from training.learning.tasks import count_correct, encode_targets
from training.learning.train import train, train_validation_split
from training.learning.validate import _convolution_checks, validate_recipe
from training.networks.mlp import fold_batch_norm, mlp
from training.networks.network import ImageNetworkWithOod, build, build_initialised
from training.networks.scaling import Standardise
from training.progress import Progress
from training.recipes import RECIPES, collect, iris
from training.recipes.gradient_descent import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Distortion,
    GradientDescent,
    OodHead,
    Optimiser,
    Teacher,
)
from training.recipes.recipe import Acceptance, FixedWeights, Recipe

TEXTBOOK = [recipe for recipe in RECIPES.values() if not recipe.takes_images]
HALVES = {"first half": TEXTBOOK[::2], "second half": TEXTBOOK[1::2]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every textbook recipe, trained and exported from scratch by two commands in parallel."""
    models = tmp_path_factory.mktemp("textbook") / "models"
    command = (sys.executable, "-m", "training", "train", "--device=cpu", f"--models-dir={models}")
    running = [
        subprocess.Popen(
            (*command, *(recipe.name for recipe in half)),
            cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for half in HALVES.values()
    ]  # fmt: skip
    for process in running:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
    return models


@pytest.mark.slow
@pytest.mark.parametrize("recipe", TEXTBOOK, ids=lambda recipe: recipe.name)
def test_a_textbook_recipe_trains_from_scratch_and_reaches_its_acceptance_threshold(
    trained: Path, recipe: Recipe
) -> None:
    bundle, _ = load_bundle(trained / recipe.name / "1")
    acceptance = recipe.acceptance
    metric = f"{acceptance.metric}_mean" if acceptance.seeds > 1 else acceptance.metric
    assert bundle.metrics[metric] >= acceptance.threshold
    assert bundle.metrics == pytest.approx(load_bundle(committed(recipe.name))[0].metrics, rel=0.05, abs=0.02)


def committed(name: str) -> Path:
    """The one version of a recipe's bundle in `models/`."""
    (folder,) = (MODELS / name).iterdir()
    return folder


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_the_committed_bundle_is_of_the_current_recipe(recipe: Recipe) -> None:
    bundle, contents = load_bundle(committed(recipe.name))
    assert msgspec.convert(bundle.recipe, Recipe) == recipe
    assert bundle.task == recipe.task
    assert REPORT in contents


@pytest.mark.parametrize("recipe", TEXTBOOK, ids=lambda recipe: recipe.name)
def test_the_committed_bundle_has_the_checksum_of_its_data(recipe: Recipe, tmp_path: Path) -> None:
    assert checksum_matches(recipe, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "mnist-deep", "mnist-dropout", "mnist-dropout-slow"])
def test_the_committed_bundle_of_digits_has_the_checksum_of_its_data(name: str, mnist_dir: Path) -> None:
    assert checksum_matches(RECIPES[name], mnist_dir)


def checksum_matches(recipe: Recipe, data_dir: Path) -> bool:
    bundle, _ = load_bundle(committed(recipe.name))
    dataset = open_dataset(recipe.dataset, data_dir)
    train, held_out = dataset.train(bundle.seed), dataset.held_out(bundle.seed)
    rows = len(train.targets), len(held_out.targets) if held_out else 0
    assert bundle.data
    assert rows == (bundle.data.train_rows, bundle.data.held_out_rows)
    return bundle.data.checksum == checksum(train, *([held_out] if held_out else []))


def test_models_contains_a_bundle_of_each_recipe_and_no_other() -> None:
    assert {folder.parent.name for folder in find_bundles(MODELS)} == set(RECIPES)


def test_no_two_recipes_share_a_name() -> None:
    other = ModuleType("other")
    other.__dict__["IRIS"] = msgspec.structs.replace(iris.IRIS, seed=1)
    with pytest.raises(BadRecipe, match=r"two recipes are named 'iris'; one is in other"):
        collect([iris, other])


def test_a_recipe_may_be_imported_into_another_module() -> None:
    other = ModuleType("other")
    other.__dict__["IRIS"] = iris.IRIS
    assert collect([iris, other]) == {"iris": iris.IRIS}


def test_the_bundles_of_textbook_recipes_are_small() -> None:
    """The networks are a few KB; the report with its pictures is larger."""
    for recipe in TEXTBOOK:
        sizes = {path.name: path.stat().st_size for path in committed(recipe.name).iterdir()}
        assert sizes["model.onnx"] + sizes["model.pt"] < 40_000, recipe.name
        assert sizes[REPORT] < 130_000, recipe.name


def test_the_lectures_figures_are_reached() -> None:
    def metrics(name: str) -> dict[str, float]:
        return load_bundle(committed(name))[0].metrics

    assert metrics("mnist-deep")["accuracy"] >= 0.9761
    assert metrics("xor")["sweep_converged"] >= 95
    assert metrics("xor")["sweep_seeds"] == 100
    assert metrics("mnist-dropout")["accuracy"] < 0.92 < metrics("mnist-dropout-slow")["accuracy"]
    assert metrics("versicolor-neuron")["accuracy"] < 0.75 < metrics("versicolor-sepal")["accuracy"]
    for data in ("moons", "spirals"):
        deep, decayed = metrics(f"{data}-deep"), metrics(f"{data}-deep-l2")
        assert deep["train_accuracy_mean"] - deep["accuracy_mean"] > 0.08
        assert decayed["accuracy_mean"] > deep["accuracy_mean"]
        assert decayed["train_accuracy_mean"] < deep["train_accuracy_mean"]


@pytest.mark.parametrize("name", ["xor", "versicolor-sepal"])
def test_networks_of_a_seed_sweep_equal_those_trained_alone(name: str) -> None:
    """The first three seeds; `versicolor-sepal` has another optimiser."""
    training = msgspec.structs.replace(RECIPES[name].gradient_descent, epochs=300)
    recipe = msgspec.structs.replace(RECIPES[name], sweep_seeds=3, training=training)
    data = open_dataset(recipe.dataset, ROOT).train(0)
    together = train_sweep(recipe, data)
    for seed in range(3):
        network = build_initialised(recipe, data, seed)
        progress = Progress.silent()
        progress.start_network(recipe, seed)
        fit(network, data, recipe, seed, progress)
        with torch.no_grad():
            alone = network.layers(network.scale(data.inputs))
        torch.testing.assert_close(together[seed], alone, atol=1e-3, rtol=1e-3)
        targets = encode_targets(recipe.task, data.targets, network)
        correct = [count_correct(recipe.task, logits, targets) for logits in (together[seed], alone)]
        assert correct[0] == correct[1]


def test_a_constant_column_is_scaled_to_zero() -> None:
    scale = Standardise(2)
    scale.fit(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert scale(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_dropout_is_active_in_training_only() -> None:
    training = GradientDescent(Adam(0.01), batch_size=32, epochs=1, dropout=0.5)
    recipe = msgspec.structs.replace(RECIPES["wine"], training=training, scaling="none")
    torch.manual_seed(0)
    network, rows = build(recipe), torch.randn(4, 13)
    network.train()
    assert not torch.equal(network(rows), network(rows))
    network.eval()
    assert torch.equal(network(rows), network(rows))


def test_batch_norm_is_folded_into_the_linear_layers_after_training() -> None:
    training = GradientDescent(Adam(0.01), batch_size=32, epochs=3, batch_norm=True)
    recipe = msgspec.structs.replace(RECIPES["wine"], training=training, acceptance=Acceptance("accuracy", 0.9))
    dataset = open_dataset("wine", ROOT)
    data = dataset.train(0)
    network = build_initialised(recipe, data, 0)
    assert sum(isinstance(layer, BatchNorm1d) for layer in network.layers) == len(recipe.layers) - 2
    progress = Progress.silent()
    progress.start_network(recipe, 0)
    fit(network, data, recipe, 0, progress)
    before = network.eval()(data.inputs)
    network.layers = fold_batch_norm(network.layers)
    torch.testing.assert_close(network(data.inputs), before, atol=1e-5, rtol=1e-5)
    result = train(recipe, dataset, torch.device("cpu"), 1, progress)
    assert [*result.network.state_dict()] == [*build(recipe).state_dict()]
    assert result.metrics["accuracy"] >= 0.9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"convolutions": (4, 4)}, "ood_head needs 3 stages of convolutions, as it reads 3x3 places of the last"),
        ({"convolutions": (4,) * 6}, "convolutions have at most 5 stages, each of which halves the 28x28 places"),
        ({"activation": "tanh"}, "convolutions have the activation relu, always"),
        ({"training": FixedWeights.from_layers([(1.0,)])}, "convolutions are trained: they have no fixed weights"),
    ],
)
def test_convolutions_that_cannot_be_built_are_refused(changes: dict[str, Any], words: str) -> None:
    checks = _convolution_checks(msgspec.structs.replace(RECIPES["digits"], **changes))
    assert next(message for is_wrong, message in checks if is_wrong) == words


def test_convolutions_are_trained_with_batch_norm_and_exported_without_it() -> None:
    recipe = msgspec.structs.replace(RECIPES["digits"], convolutions=(4, 8, 8), layers=(784, 5, 10))
    network = build_initialised(recipe, Split(torch.zeros(1), torch.zeros(1)), 0)
    assert sum(isinstance(layer, BatchNorm2d) for layer in network.layers) == 6
    images = torch.randint(256, (16, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        network.train()(images)
    before = network.eval()(images)
    network.layers = fold_batch_norm(network.layers)
    torch.testing.assert_close(network(images), before)
    assert [*network.state_dict()] == [*build(recipe).state_dict()]
    assert sum(parameter.numel() for parameter in network.parameters()) == recipe.num_parameters
    assert isinstance(network, ImageNetworkWithOod)
    hidden, _ = network.hidden_and_logits(network.scale(images))
    assert hidden.shape == (16, 9 * 8 + 5) == (16, recipe.ood_head_layers[0])


def test_a_learning_rate_that_is_too_high_is_reported() -> None:
    training = GradientDescent(SGD(10.0), batch_size=3, epochs=100)
    recipe = msgspec.structs.replace(RECIPES["linear-regression"], training=training)
    message = (
        r"linear-regression: the loss is NaN or infinite after epoch \d+: the learning rate 10 is probably too high"
    )
    with pytest.raises(Diverged, match=message):
        train(recipe, open_dataset("points", ROOT), torch.device("cpu"), 1, Progress.silent())


@pytest.mark.parametrize("steps", [1, 2, 10, 40])
@pytest.mark.parametrize("optimiser", [SGD(0.1), Adam(), AdamW()], ids=lambda one: type(one).__name__)
def test_a_one_cycle_schedule_may_have_any_number_of_steps(optimiser: Optimiser, steps: int) -> None:
    training = GradientDescent(optimiser, batch_size=4, epochs=steps, schedule="one-cycle")
    acceptance = Acceptance("accuracy", 0.0)
    recipe = msgspec.structs.replace(RECIPES["xor"], training=training, sweep_seeds=0, acceptance=acceptance)
    result = train(recipe, open_dataset("xor", ROOT), torch.device("cpu"), 1, Progress.silent())
    assert len(result.curve) == steps


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-deep", "mnist-dropout", "mnist-dropout-slow"])
def test_a_recipe_of_digits_trains_from_scratch_and_reaches_its_acceptance_threshold(
    name: str, mnist_dir: Path, tmp_path: Path
) -> None:
    command = (sys.executable, "-m", "training", "train", name, "--models-dir", str(tmp_path))
    environment = clean_environment(data_dir=str(mnist_dir))
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert load_bundle(tmp_path / name / "1")[0].metrics["accuracy"] >= RECIPES[name].acceptance.threshold


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "lilies"}, "no data set 'lilies': there are mnist, iris, "),
        ({"task": "regression"}, "recipe xor: task 'regression': xor needs binary or multiclass"),
        ({"layers": (3, 3, 1)}, "recipe xor: layers (3, 3, 1): xor has 2 inputs, and this task needs 1 output unit(s)"),
        ({"layers": (2, 3, 2)}, "recipe xor: layers (2, 3, 2): xor has 2 inputs, and this task needs 1 output unit(s)"),
        ({"scaling": "unit"}, "recipe xor: scaling 'unit' does not fit xor: its inputs are vectors"),
        (
            {"training": FixedWeights.from_layers([(7, 7, -9)])},
            "recipe xor: the fixed weights do not have the shapes of layers (2, 3, 1)",
        ),
        (
            {"training": GradientDescent(Adam(0.01), batch_size=2, epochs=1)},
            "recipe xor: sweep_seeds needs a classifier that is trained in full batches",
        ),
        ({"scaling": "normalised"}, "recipe xor: Invalid enum value 'normalised' - at `$.scaling`"),
        ({"activation": "gelu"}, "recipe xor: Invalid enum value 'gelu' - at `$.activation`"),
        ({"layers": (2,)}, "recipe xor: Expected `array` of length >= 2 - at `$.layers`"),
        (
            {"training": GradientDescent(SGD(1.0), batch_size=4, epochs=0)},
            "recipe xor: Expected `int` >= 1 - at `$.training.epochs`",
        ),
        (
            {"acceptance": Acceptance("accuracy", 9)},
            "recipe xor: Expected `float` <= 1.0 - at `$.acceptance.threshold`",
        ),
        ({"name": "X or"}, "recipe X or: a name consists of lower-case letters"),
        (
            {"training": GradientDescent(SGD(1.0), batch_size=4, epochs=1, distortion=Distortion()), "sweep_seeds": 0},
            "recipe xor: convolutions, distortion and teacher are for images of digits, and xor has none",
        ),
        (
            {"convolutions": (4,)},
            "recipe xor: convolutions, distortion and teacher are for images of digits, and xor has none",
        ),
        (
            {"training": GradientDescent(Adagrad(), batch_size=4, epochs=1, schedule="one-cycle"), "sweep_seeds": 0},
            "recipe xor: schedule 'one-cycle' cycles the momentum too, and Adagrad has none",
        ),
        (
            {"training": GradientDescent(Adam(), batch_size=3, epochs=1, batch_norm=True), "sweep_seeds": 0},
            "recipe xor: batch_norm needs two rows in every mini-batch, the last one included",
        ),
        (
            {"training": GradientDescent(Adam(), batch_size=4, epochs=1, schedule="one-cycle")},
            "without dropout, batch_norm, schedule, precision, distortion, teacher, ood_head",
        ),
        (
            {"training": GradientDescent(Adam(), batch_size=4, epochs=1, precision="bfloat16")},
            "recipe xor: sweep_seeds needs a classifier that is trained in full batches",
        ),
        (
            {"acceptance": Acceptance("r2", 0.5)},
            "recipe xor: acceptance metric 'r2': a binary task is evaluated by accuracy",
        ),
        ({"validation_rows": 4}, "recipe xor: validation_rows 4: there are 4 training rows"),
        (
            {"validation_rows": 1},
            "recipe xor: validation_rows are for recipes that use gradient descent and no sweep_seeds",
        ),
        (
            {"training": GradientDescent(Adam(), 4, 1, patience=3), "sweep_seeds": 0},
            "recipe xor: patience needs validation_rows, whose loss it watches",
        ),
        ({"scaling": "encoded"}, "recipe xor: scaling 'encoded' is for a recipe with a table, and it needs that"),
        (
            {
                "training": GradientDescent(Adam(), 4, 1, ood_head=OodHead(Adam(), 4, 1, 3, negatives=5)),
                "sweep_seeds": 0,
            },
            "recipe xor: ood_head is for images of digits, and xor has none",
        ),
    ],
)
def test_a_recipe_that_contradicts_its_data_is_rejected_with_the_reason(changes: dict[str, Any], words: str) -> None:
    recipe = msgspec.structs.replace(RECIPES["xor"], **changes)
    with pytest.raises(BadRecipe) as rejected:
        train(recipe, open_dataset(recipe.dataset, ROOT), torch.device("cpu"), 1, Progress.silent())
    assert words in str(rejected.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation_rows": 0}, "ood_head needs validation_rows, to choose its threshold"),
        (
            {"layers": (784, 20, 11)},
            "layers (784, 20, 11): mnist has 784 inputs, and this task needs 10 output unit(s)",
        ),
    ],
)
def test_an_ood_head_needs_validation_rows_and_no_logit_of_the_classifier(
    mnist_dir: Path, changes: dict[str, Any], words: str
) -> None:
    recipe = msgspec.structs.replace(RECIPES["mnist"], **changes)
    dataset = open_dataset("mnist", mnist_dir)
    with pytest.raises(BadRecipe) as rejected:
        validate_recipe(recipe, dataset, dataset.train(0))
    assert words in str(rejected.value)


class TinyMnist:
    """Thirty random images in place of MNIST."""

    name, source, licence, labels = "mnist", "here", "free", tuple("0123456789")

    def train(self, seed: int) -> Split:
        images = torch.randint(256, (30, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        return Split(images, torch.arange(30) % 10)

    def held_out(self, seed: int) -> None:
        return

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        return ()

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        return ()


@pytest.mark.parametrize(
    ("layers", "options", "words"),
    [
        (
            (784, 20, 10),
            {"teacher": Teacher(Adagrad(), 10, 1)},
            "teacher: its schedule 'one-cycle' cycles the momentum",
        ),
        (
            (784, 20, 10),
            {"ood_head": OodHead(Adagrad(), 10, 1, units=3, negatives=5)},
            "ood_head: its schedule 'one-cycle' cycles the momentum",
        ),
        (
            (784, 10),
            {"ood_head": OodHead(AdamW(), 10, 1, units=3, negatives=5)},
            "ood_head needs a hidden layer, whose activations it reads",
        ),
    ],
)
def test_what_a_teacher_or_an_ood_head_cannot_be_is_rejected(
    layers: tuple[int, ...], options: dict[str, Any], words: str
) -> None:
    training = GradientDescent(SGD(0.1), batch_size=10, epochs=1, **options)
    recipe = msgspec.structs.replace(RECIPES["mnist"], layers=layers, training=training, validation_rows=10)
    with pytest.raises(BadRecipe) as rejected:
        validate_recipe(recipe, TinyMnist(), TinyMnist().train(0))
    assert words in str(rejected.value)


def test_plain_sgd_respects_the_precision_of_the_recipe() -> None:
    layers, inputs, targets = mlp((4, 8, 3)), torch.randn(5, 4), torch.eye(3)[[0, 1, 2, 0, 1]]
    found = {}
    for precision in ("float32", "bfloat16"):
        config = msgspec.convert(
            {"method": "gradient-descent", "optimiser": {"name": "sgd", "learning_rate": 0.1}, "batch_size": 5,
             "epochs": 1, "precision": precision}, GradientDescent,
        )  # fmt: skip
        step = make_step(copy.deepcopy(layers), "multiclass", config, 1)
        with torch.no_grad():
            found[precision] = step(inputs, targets)
    assert torch.equal(found["bfloat16"], found["bfloat16"].bfloat16().float())
    assert not torch.equal(found["float32"], found["bfloat16"])


def test_a_metric_that_is_nan_does_not_reach_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.learning.train.evaluate", lambda *_: {"accuracy": math.nan})
    recipe = RECIPES["and-short"]
    with pytest.raises(BelowThreshold, match="training accuracy nan is below its acceptance threshold"):
        train(recipe, open_dataset("and", ROOT), torch.device("cpu"), 1, Progress.silent())


def test_golden_examples_of_an_image_model_are_noise_where_there_are_no_samples(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where the wheel is installed."""
    recipe = RECIPES["mnist-deep"]
    with_samples = golden_examples(build(recipe), signature_of(recipe), (), ()).inputs["image"]
    monkeypatch.setattr(f"{golden_examples.__module__}.SAMPLES", tmp_path)
    assert golden_examples(build(recipe), signature_of(recipe), (), ()).inputs["image"] == with_samples[-2:]


def test_validation_rows_are_the_last_training_rows(mnist_dir: Path) -> None:
    recipe = RECIPES["mnist"]
    data = open_dataset("mnist", mnist_dir).train(0)
    train_rows, validation = train_validation_split(recipe, data)
    assert validation
    assert (len(train_rows.targets), len(validation.targets)) == (55_000, 5_000)
    assert torch.equal(validation.inputs, data.inputs[55_000:])
