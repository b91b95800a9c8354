"""Our figures for the rows of docs/lectures.md.

Those of trained networks are read from their bundles; those that take seconds at most are computed anew.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from service.bundle.manifest import Bundle
from training.bundles.restore import latest_bundle, read_curve, rebuild
from training.compare import compare
from training.datasets import open_dataset
from training.datasets.dataset import Dataset
from training.datasets.toy import TRUTH_TABLE_INPUTS
from training.learning import tasks
from training.learning.curve import CurvePoint
from training.learning.train import train_one_seed
from training.lectures import worked_examples
from training.networks.network import Network
from training.progress import Progress
from training.recipes import RECIPES
from training.recipes.recipe import Activation, Recipe


@dataclass(frozen=True)
class LatestBundles:
    """The latest bundle of each recipe in a folder: the source of the figures of trained networks."""

    models_dir: Path

    def bundle(self, name: str) -> Bundle:
        """The manifest of a recipe's bundle."""
        return latest_bundle(name, self.models_dir)[0]

    def network(self, name: str) -> Network:
        """The network of a recipe's bundle."""
        return rebuild(*latest_bundle(name, self.models_dir)).eval()

    def curve(self, name: str) -> list[CurvePoint]:
        """The learning curve of a recipe's bundle."""
        return read_curve(latest_bundle(name, self.models_dir)[1])

    def metric(self, name: str, metric: str = "accuracy") -> float:
        """A metric of a recipe's bundle."""
        return self.bundle(name).metrics[metric]

    def predictions(self, name: str, *rows: tuple[float, ...]) -> Tensor:
        """The network's probabilities or values for rows of features: FP32 [n, classes or values]."""
        with torch.inference_mode():
            outputs: Tensor = self.network(name)(torch.tensor(rows, dtype=torch.float32))
        return outputs

    def truth_table(self, name: str) -> str:
        """The probabilities of 1 for (0, 0), (0, 1), (1, 0), (1, 1)."""
        return format_list(self.predictions(name, (0, 0), (0, 1), (1, 0), (1, 1))[:, 1], "{:.4e}")


def format_list(values: Iterable[float] | Tensor, form: str = "{:.4f}") -> str:
    """Numbers, separated by commas."""
    return ", ".join(form.format(float(value)) for value in values)


def linear_layers_row(_bundles: LatestBundles) -> str:
    """Row 1."""
    torch.manual_seed(0)
    first, second, inputs = nn.Linear(4, 3), nn.Linear(3, 2), torch.randn(5, 4)
    with torch.no_grad():
        error = (worked_examples.linear_layer(inputs, first.weight.T, first.bias) - first(inputs)).abs().max().item()
        merged = (worked_examples.merge_linear(first, second)(inputs) - second(first(inputs))).abs().max().item()
    equal = f"equal to {max(error, merged, 1e-6):.0e}"
    return f"as `nn.Linear` with the weight transposed, and as one layer of W2 W1: {equal}; 15 and 19 parameters"


def mnist_deep_row(bundles: LatestBundles) -> str:
    """Row 2: the losses at the lecture's points, which are 2,000 and 4,000 mini-batches into each epoch."""
    losses = [point.loss for point in lecture_points(bundles)]
    correct = round(bundles.metric("mnist-deep") * 10_000)
    return f"{correct:,} of 10,000; loss {losses[0]:.3f} to {losses[-1]:.3f}, all points below"


def outputs_row(bundles: LatestBundles) -> str:
    """Row 3: every kind of output but arbitrary distributions."""
    mixture, gaussian = (bundles.metric("arc", f"{kind}log_likelihood") for kind in ("", "gaussian_"))
    return (
        "binary `and`, multiclass `iris`, regression `diabetes`, a mixture of three Gaussians for two answers "
        f"(log-likelihood {mixture:.2f}; of one Gaussian {gaussian:.2f}); arbitrary distributions, by GANs and "
        "variational autoencoders, are that lecture's other part, and are not built"
    )


def lecture_points(bundles: LatestBundles) -> list[CurvePoint]:
    """The learning curve of `mnist-deep` without its points at the end of each epoch, which the lecture lacks."""
    return [point for point in bundles.curve("mnist-deep") if point.epoch % 1]


def line_row(bundles: LatestBundles) -> str:
    """Row 5."""
    parts = []
    for name, epochs in (("linear-regression", "30 epochs"), ("linear-regression-converged", "5,000")):
        weight, bias = bundles.network(name).layers.parameters()
        parts.append(f"{epochs}: W {weight.item():.4f}, b {round(bias.item(), 4) + 0.0:.4f}")  # + 0.0: no -0.0000
    return "; ".join(parts)


def and_row(bundles: LatestBundles) -> str:
    """Row 6: trained again, to the epoch of the lecture's last figures."""
    recipe = RECIPES["and"]
    training = msgspec.structs.replace(recipe.training, epochs=7901)
    network = train_now(msgspec.structs.replace(recipe, training=training), open_dataset("and", Path()))
    with torch.inference_mode():
        positive = network(TRUTH_TABLE_INPUTS)[:, 1]
    short = bundles.predictions("and-short", (1, 1))[0, 1].item()
    exact = format_list(positive, "{:.4e}")
    return f"learning rate 0.01: {short:.2f} for (1, 1), not enough; learning rate 0.1: {exact}"


def train_now(recipe: Recipe, dataset: Dataset) -> Network:
    """Train the network of a recipe from its seed, in this process."""
    progress = Progress.silent()
    progress.start_network(recipe, recipe.seed)
    torch.set_num_threads(1)
    return train_one_seed(recipe, dataset, recipe.seed, torch.device("cpu"), progress).network


def xor_row(bundles: LatestBundles) -> str:
    """Row 7."""
    config = RECIPES["xor"].gradient_descent
    converged, seeds = (int(bundles.metric("xor", name)) for name in ("sweep_converged", "sweep_seeds"))
    how = f"plain gradient descent at learning rate {config.optimiser.learning_rate:g}, {config.epochs:,} epochs"
    return f"{bundles.truth_table('xor')} by {how}; {converged} of {seeds} seeds converge"


def activations_row(_bundles: LatestBundles) -> str:
    """Row 8."""
    x = torch.linspace(-5, 5, 201)
    error = (torch.tanh(x) - (2 * torch.sigmoid(2 * x) - 1)).abs().max().item()
    names: tuple[Activation, ...] = ("sigmoid", "tanh", "relu")
    slopes = ", ".join(f"{name} {worked_examples.activation_and_derivative(name, x)[1].max():g}" for name in names)
    below_zero = worked_examples.activation_and_derivative("leaky-relu", torch.tensor([-1.0]))[1].item()
    identity = f"tanh x = 2 sigmoid(2x) - 1 to {max(error, 1e-6):.0e}"
    return f"largest slopes: {slopes}; LeakyReLU's below zero: {below_zero:g}; {identity}"


def study_hours_row(bundles: LatestBundles) -> str:
    """Row 9."""
    steps = []
    for learning_rate in (0.1, 0.01):
        step = worked_examples.softmax_regression_step(learning_rate)
        theta = [[round(value, 4) for value in row] for row in step.tolist()]
        steps.append(f"learning rate {learning_rate:g}: {theta}")
    hours = 0.25, 4.5
    probabilities = bundles.predictions("hours-softmax", *((h,) for h in hours))
    scores = (f"{h} h: {p.argmax().item()} ({p.max().item():.4f})" for h, p in zip(hours, probabilities, strict=True))
    passed = format_list(bundles.predictions("hours-pass", *((h,) for h in hours))[:, 1])
    return f"{'; '.join(steps)}; scores for {', '.join(scores)}; pass: {passed}"


def backprop_row(_bundles: LatestBundles) -> str:
    """Row 10."""
    found = worked_examples.forward_and_backward()
    hidden = f"{format_list(found.hidden_weight[0])}, {found.hidden_bias[0]:.4f}"
    output = f"{found.output_weight[0, 0]:.4f}, {found.output_bias[0]:.4f}"
    loss = tasks.loss("multiclass", torch.tensor([[0.0580, 0.4275]]), torch.tensor([[1.0, 0.0]]))
    return f"{found.logit:.2f}, {found.probability:.4f}, {found.loss:.4f}; {hidden}; {output}; {loss:.4f}"


def iris_row(bundles: LatestBundles) -> str:
    """Row 11."""
    metrics, curve = bundles.bundle("iris").metrics, bundles.curve("iris")
    seeds = f"20 seeds: mean {metrics['accuracy_mean']:.4f}, standard deviation {metrics['accuracy_std']:.4f}"
    return f"{metrics['accuracy']:.4f} from seed 0 ({seeds}); loss {curve[0].loss:.3f} to {curve[-1].loss:.4f}"


def dropout_row(bundles: LatestBundles) -> str:
    """Row 12."""
    default, slow = bundles.metric("mnist-dropout"), bundles.metric("mnist-dropout-slow")
    return f"{default:.4f} at the default learning rate 0.01; {slow:.4f} at 0.001"


def gates_row(bundles: LatestBundles) -> str:
    """Row 13."""
    return "; ".join(f"{name.upper()} {bundles.truth_table(f'{name}-by-hand')}" for name in ("and", "or", "xor"))


def versicolor_row(bundles: LatestBundles) -> str:
    """Row 14."""
    names = {"one neuron": "neuron", "fixed weights, AND": "by-hand", "OR": "by-hand-or", "trained": "sepal"}
    counts = (f"{title} {round(bundles.metric(f'versicolor-{name}') * 150)}" for title, name in names.items())
    petals = round(bundles.metric("versicolor-petal") * 150)
    converged = int(bundles.metric("versicolor-petal", "sweep_converged"))
    return (
        f"correct of 150: {', '.join(counts)}; trained on petals {petals} (at least 0.95 from {converged} of 100 seeds)"
    )


def plane_row(bundles: LatestBundles) -> str:
    """Row 15."""
    parts = []
    for data in ("moons", "spirals"):
        accuracies = (
            f"{name} {bundles.metric(f'{data}-{name}', 'train_accuracy_mean'):.3f} / "
            f"{bundles.metric(f'{data}-{name}', 'accuracy_mean'):.3f}"
            for name in ("logistic", "mlp", "deep", "deep-l2")
        )
        parts.append(f"{data}: {', '.join(accuracies)}")
    return f"{'; '.join(parts)} (training / held-out accuracy, means of 3 samples)"


def tasks_row(bundles: LatestBundles) -> str:
    """Row 16."""
    logits = torch.tensor([[2.6, 1.5, 0.2, 0.6]])
    probabilities = format_list(torch.softmax(logits, dim=1)[0], "{:.2f}")
    loss = tasks.loss("multiclass", logits, torch.tensor([[0.0, 1, 0, 0]])).item()
    r2 = f"`diabetes` r2 {bundles.metric('diabetes', 'r2_mean'):.3f}, `linnerud` {bundles.metric('linnerud', 'r2'):.3f}"
    classes = ", ".join(f"`{name}` {bundles.metric(name, 'accuracy_mean'):.4f}" for name in ("breast-cancer", "wine"))
    return f"{r2}, {classes}; softmax {probabilities}, its cross-entropy {loss:.4f}"


def compare_row(parameter: str) -> Callable[[LatestBundles], str]:
    """Rows 17 and 18, on Iris; `parameter` as in `training.compare.compare`."""

    def losses(_bundles: LatestBundles) -> str:
        torch.set_num_threads(1)
        iris, progress = open_dataset("iris", Path()), Progress.silent()
        runs = compare(parameter, RECIPES["iris"], iris, rows=6000, epochs=10, progress=progress)
        listed = ", ".join(f"{run.variant} {run.curve[-1].loss:.3f}" for run in runs)
        return f"`iris`, mean loss in the tenth epoch: {listed}"

    return losses
