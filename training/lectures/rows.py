"""The eighteen rows: what each lecture shows and prints, and what is found here.

Figures of trained networks are read from their bundles; what takes no more than seconds is computed anew.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from service.bundle.manifest import Bundle
from training.bundles.restore import curve_of, newest
from training.bundles.verify import rebuild
from training.compare import compare
from training.datasets import Dataset, open_dataset
from training.learning import tasks
from training.learning.train import train_once
from training.lectures import worked
from training.networks.network import Network
from training.progress import Point, Progress
from training.recipes import RECIPES
from training.recipes.recipe import Recipe

REVIEW = "Review 2: MLP (Hanyang, 2021)"
AILAB = "03. Multi-Layer Perceptrons (AILAB)"
AIVN = "Multilayer Perceptron (AI VIET NAM)"
DIGITS = "Classifying MNIST digits using MLP"
ELTE = "Deep Network Developments 5 (ELTE)"


@dataclass(frozen=True)
class Row:
    """One system of one lecture: what it is, what the lecture printed, what is found here, and by what."""

    number: int
    lecture: str
    system: str
    printed: str
    ours: str
    by: str


@dataclass(frozen=True)
class Found:
    """The bundles that figures are read from."""

    models_dir: Path

    def bundle(self, name: str) -> Bundle:
        """The manifest of a recipe's newest bundle."""
        return newest(name, self.models_dir)[0]

    def network(self, name: str) -> Network:
        """Its network."""
        return rebuild(*newest(name, self.models_dir)).eval()

    def curve(self, name: str) -> list[Point]:
        """Its learning curve."""
        return curve_of(newest(name, self.models_dir)[1])

    def metric(self, name: str, metric: str = "accuracy") -> float:
        """A figure of its manifest."""
        return self.bundle(name).metrics[metric]

    def answers(self, name: str, *rows: tuple[float, ...]) -> Tensor:
        """What it answers to rows of features."""
        with torch.inference_mode():
            answers: Tensor = self.network(name)(torch.tensor(rows, dtype=torch.float32))
        return answers

    def positive(self, name: str) -> str:
        """The probability of 1 at the four corners of a truth table."""
        return listed(self.answers(name, (0, 0), (0, 1), (1, 0), (1, 1))[:, 1], "{:.4e}")


def listed(values: Iterable[float] | Tensor, form: str = "{:.4f}") -> str:
    """Numbers, one after the other."""
    return ", ".join(form.format(float(value)) for value in values)


def linear_layers(_found: Found) -> str:
    """Row 1."""
    torch.manual_seed(0)
    first, second, rows = nn.Linear(4, 3), nn.Linear(3, 2), torch.randn(5, 4)
    with torch.no_grad():
        off = (worked.linear(rows, first.weight.T, first.bias) - first(rows)).abs().max().item()
        stacked = (worked.collapsed(first, second)(rows) - second(first(rows))).abs().max().item()
    small = f"the same to {max(off, stacked, 1e-6):.0e}"
    return f"as `nn.Linear` with the weight transposed, and as one layer of W2 W1: {small}; 15 and 19 parameters"


def mnist_deep(found: Found) -> str:
    """Row 2: the losses at the lecture's points, which are 2,000 and 4,000 mini-batches into each epoch."""
    losses = [point.loss for point in at_the_lectures_points(found)]
    right = round(found.metric("mnist-deep") * 10_000)
    return f"{right:,} of 10,000; loss {losses[0]:.3f} to {losses[-1]:.3f}, each point listed below"


def at_the_lectures_points(found: Found) -> list[Point]:
    """The learning curve of `mnist-deep` without its points at the end of each epoch, which the lecture has not."""
    return [point for point in found.curve("mnist-deep") if point.epoch % 1]


def line(found: Found) -> str:
    """Row 5."""
    said = []
    for name, epochs in (("linear-regression", "30 epochs"), ("linear-regression-converged", "5,000")):
        weight, bias = found.network(name).layers.parameters()
        said.append(f"{epochs}: W {weight.item():.4f}, b {round(bias.item(), 4) + 0.0:.4f}")  # + 0.0: no -0.0000
    return "; ".join(said)


def and_gate(found: Found) -> str:
    """Row 6: trained again to the epoch of the lecture's last print."""
    recipe = RECIPES["and"]
    fit = msgspec.structs.replace(recipe.fit, epochs=7901)
    trained = once(msgspec.structs.replace(recipe, fit=fit), open_dataset("and", Path()))
    with torch.inference_mode():
        positive = trained(torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]))[:, 1]
    short = found.answers("and-short", (1, 1))[0, 1].item()
    return f"rate 0.01: {short:.2f} at (1, 1), not enough; rate 0.1: {listed(positive, '{:.4e}')}"


def once(recipe: Recipe, dataset: Dataset) -> Network:
    """The network of a recipe, trained from its seed, here and now."""
    progress = Progress.silent()
    progress.run(recipe, recipe.seed)
    torch.set_num_threads(1)
    return train_once(recipe, dataset, recipe.seed, torch.device("cpu"), progress).network


def xor(found: Found) -> str:
    """Row 7."""
    fit = RECIPES["xor"].descent
    reached, trials = (int(found.metric("xor", name)) for name in ("trials_reaching_bar", "trials"))
    how = f"plain gradient descent at rate {fit.optimiser.rate:g}, {fit.epochs:,} epochs"
    return f"{found.positive('xor')} by {how}; {reached} of {trials} seeds converge"


def activations(_found: Found) -> str:
    """Row 8."""
    at = torch.linspace(-5, 5, 201)
    off = (torch.tanh(at) - (2 * torch.sigmoid(2 * at) - 1)).abs().max().item()
    steepest = (f"{name} {worked.activation(name, at)[1].max():g}" for name in ("sigmoid", "tanh", "relu"))
    below = worked.activation("leaky-relu", torch.tensor([-1.0]))[1].item()
    same = f"tanh x = 2 sigmoid(2x) - 1 to {max(off, 1e-6):.0e}"
    return f"largest slopes: {', '.join(steepest)}; LeakyReLU's below zero {below:g}; {same}"


def hours(found: Found) -> str:
    """Row 9."""
    steps = (f"rate {rate:g}: {[[round(v, 4) for v in row] for row in worked.softmax_step(rate).tolist()]}"
             for rate in (0.1, 0.01))  # fmt: skip
    scores = found.answers("hours-softmax", (0.25,), (4.5,))
    said = (f"{h} h: {p.argmax().item()} ({p.max().item():.4f})" for h, p in zip((0.25, 4.5), scores, strict=True))
    passed = listed(found.answers("hours-pass", (0.25,), (4.5,))[:, 1])
    return f"{'; '.join(steps)}; scores for {', '.join(said)}; pass: {passed}"


def forward_and_backward(_found: Found) -> str:
    """Row 10."""
    step = worked.forward_and_backward()
    after = f"{listed(step.hidden[0])}, {step.hidden_bias[0]:.4f}; {step.output[0, 0]:.4f}, {step.output_bias[0]:.4f}"
    loss = tasks.loss("multiclass", torch.tensor([[0.0580, 0.4275]]), torch.tensor([[1.0, 0.0]]))
    return f"{step.logit:.2f}, {step.probability:.4f}, {step.loss:.4f}; {after}; {loss:.4f}"


def iris(found: Found) -> str:
    """Row 11."""
    metrics, curve = found.bundle("iris").metrics, found.curve("iris")
    spread = f"mean of 20 seeds {metrics['accuracy_mean']:.4f}, deviation {metrics['accuracy_deviation']:.4f}"
    return f"{metrics['accuracy']:.4f} from seed 0 ({spread}); loss {curve[0].loss:.3f} to {curve[-1].loss:.4f}"


def dropout(found: Found) -> str:
    """Row 12."""
    default, slow = found.metric("mnist-dropout"), found.metric("mnist-dropout-slow")
    return f"{default:.4f} at the default rate 0.01; {slow:.4f} at 0.001"


def gates(found: Found) -> str:
    """Row 13."""
    return "; ".join(f"{name.upper()} {found.positive(f'{name}-by-hand')}" for name in ("and", "or", "xor"))


def versicolor(found: Found) -> str:
    """Row 14."""
    names = {"one neuron": "neuron", "by hand, AND": "by-hand", "OR": "by-hand-or", "trained": "sepal"}
    counts = (f"{what} {round(found.metric(f'versicolor-{name}') * 150)}" for what, name in names.items())
    petals = round(found.metric("versicolor-petal") * 150)
    reached = int(found.metric("versicolor-petal", "trials_reaching_bar"))
    return f"of 150 right: {', '.join(counts)}; trained on petals {petals} (so from {reached} of 100 seeds)"


def plane(found: Found) -> str:
    """Row 15."""
    said = []
    for data in ("moons", "spirals"):
        figures = (
            f"{name} {found.metric(f'{data}-{name}', 'train_accuracy_mean'):.3f} / "
            f"{found.metric(f'{data}-{name}', 'accuracy_mean'):.3f}"
            for name in ("logistic", "mlp", "deep", "deep-l2")
        )
        said.append(f"{data}: {', '.join(figures)}")
    return f"{'; '.join(said)} (learned from / held out, means of 3 draws)"


def forms(found: Found) -> str:
    """Row 16."""
    values = torch.tensor([[2.6, 1.5, 0.2, 0.6]])
    probabilities = listed(torch.softmax(values, dim=1)[0], "{:.2f}")
    loss = tasks.loss("multiclass", values, torch.tensor([[0.0, 1, 0, 0]])).item()
    r2 = f"`diabetes` r2 {found.metric('diabetes', 'r2_mean'):.3f}, `linnerud` {found.metric('linnerud', 'r2'):.3f}"
    classes = ", ".join(f"`{name}` {found.metric(name, 'accuracy_mean'):.4f}" for name in ("breast-cancer", "wine"))
    return f"{r2}, {classes}; softmax {probabilities}, its cross-entropy {loss:.4f}"


def compared(what: str) -> Callable[[Found], str]:
    """Rows 17 and 18, on Iris."""

    def losses(_found: Found) -> str:
        torch.set_num_threads(1)
        iris, progress = open_dataset("iris", Path()), Progress.silent()
        runs = compare(what, RECIPES["iris"], iris, rows=6000, epochs=10, progress=progress)
        said = ", ".join(f"{run.way} {run.curve[-1].loss:.3f}" for run in runs)
        return f"`iris`, mean loss in the tenth epoch: {said}"

    return losses
