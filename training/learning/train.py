"""A training run: all steps that a recipe asks for, and then the acceptance test.

The same seed on the same machine with the same number of threads gives the same weights.
"""

from dataclasses import dataclass, field, replace

import torch

from service.bundle.manifest import Abstention
from training.augmentation.normaliser_artifacts import with_artifacts
from training.datasets.dataset import Dataset, Split
from training.errors import BelowThreshold, TrainingError
from training.learning import tasks
from training.learning.calibration import calibrate
from training.learning.curve import CurvePoint
from training.learning.distillation import distillation_step, train_teacher
from training.learning.fit import fit
from training.learning.ood_head import train_ood_head
from training.learning.optimisation import StepFactory, make_step
from training.learning.seed_sweep import count_converged
from training.learning.simple_models import simple_metrics
from training.learning.validate import validate_recipe
from training.networks.mlp import fold_batch_norm
from training.networks.network import ImageNetworkWithOod, Network, build_initialised
from training.progress import Progress
from training.recipes.gradient_descent import GradientDescent
from training.recipes.recipe import Recipe


@dataclass(frozen=True)
class TrainingResult:
    """A trained network with its data, its learning curve and its metrics.

    `held_out` is None if all rows are training data. `abstention` holds the thresholds that were chosen on the
    validation rows, if the recipe has any.
    """

    network: Network
    seed: int
    train: Split
    held_out: Split | None
    curve: list[CurvePoint]
    metrics: dict[str, float] = field(default_factory=dict)
    abstention: Abstention | None = None

    @property
    def evaluation_split(self) -> Split:
        """The rows of the metrics: held-out data, or the training data if none is held out."""
        return self.held_out or self.train


def select_device(name: str) -> torch.device:
    """`auto` (CUDA if it is available), `cpu` or `cuda`; raises `TrainingError` if `cuda` is not available."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: PyTorch finds no CUDA GPU here; --device cpu trains without one")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def train(recipe: Recipe, dataset: Dataset, device: torch.device, threads: int, progress: Progress) -> TrainingResult:
    """Train from the recipe's seed, and from the other seeds of its acceptance; the result is that of the first seed.

    `threads` are CPU threads. Raises `BelowThreshold` if the mean of the metric is below the acceptance threshold,
    `BadRecipe`, `DataUnavailable`, and `Diverged`.
    """
    torch.set_num_threads(threads)
    acceptance = recipe.acceptance
    seeds = [recipe.seed, *(seed for seed in range(acceptance.seeds) if seed != recipe.seed)][: acceptance.seeds]
    results = []
    for seed in seeds:
        progress.start_network(recipe, seed, verbose=seed == recipe.seed)
        results.append(train_one_seed(recipe, dataset, seed, device, progress))
        metric, title = acceptance_metric(recipe, results[-1])
        progress.evaluated(title, results[-1].metrics[metric])
    result = results[0]
    result.metrics.update(_seed_statistics(metric, acceptance.metric, results))
    if recipe.sweep_seeds:
        result.metrics["sweep_seeds"] = recipe.sweep_seeds
        result.metrics["sweep_converged"] = count_converged(recipe, result.train)
    mean = torch.tensor([each.metrics[metric] for each in results], dtype=torch.float64).mean()
    if not mean >= acceptance.threshold:  # also true of NaN
        over = f" (mean of {len(results)} seeds)" if len(results) > 1 else ""
        raise BelowThreshold(
            f"{recipe.name}: {title} {mean:.4f}{over} is below its acceptance threshold "
            f"{acceptance.threshold}: no bundle is written"
        )
    return result


def _seed_statistics(metric: str, plain_metric: str, results: list[TrainingResult]) -> dict[str, float]:
    """Mean, standard deviation, minimum and maximum of a metric over the seeds; empty for one seed."""
    if len(results) == 1:
        return {}
    values = torch.tensor([result.metrics[metric] for result in results], dtype=torch.float64)
    statistics = {
        f"{metric}_seeds": len(results),
        f"{metric}_mean": round(values.mean().item(), 6),
        f"{metric}_std": round(values.std().item(), 6),
        f"{metric}_min": values.min().item(),
        f"{metric}_max": values.max().item(),
    }
    if results[0].held_out:
        on_train = [result.metrics[f"train_{plain_metric}"] for result in results]
        statistics[f"train_{plain_metric}_mean"] = round(sum(on_train) / len(results), 6)
    return statistics


def acceptance_metric(recipe: Recipe, result: TrainingResult) -> tuple[str, str]:
    """The metric that decides acceptance: its key in the metrics, and its name, such as `held-out accuracy`.

    It is computed on the validation rows if there are any, or else on held-out data, or else on the training data.
    """
    metric = recipe.acceptance.metric
    if recipe.validation_rows:
        return f"validation_{metric}", f"validation {metric}"
    return metric, f"held-out {metric}" if result.held_out else f"training {metric}"


def train_one_seed(
    recipe: Recipe, dataset: Dataset, seed: int, device: torch.device, progress: Progress
) -> TrainingResult:
    """Train one network from one seed, and evaluate it; held-out data is read after the last epoch."""
    data = dataset.train(seed)
    validate_recipe(recipe, dataset, data)
    plain_train, _ = train_validation_split(recipe, data)
    network, curve = _train_network(recipe, plain_train, seed, device, progress)
    return _finish(recipe, TrainingResult(network, seed, data, dataset.held_out(seed), curve), progress)


def recalibrate(recipe: Recipe, result: TrainingResult, progress: Progress) -> TrainingResult:
    """The same network with temperature and thresholds fitted anew, as after a change of the normaliser."""
    progress.start_network(recipe, result.seed)
    before = result.metrics.get("temperature", 1.0)
    found = _finish(recipe, replace(result, metrics={}), progress)
    if "temperature" in found.metrics:
        found.metrics["temperature"] *= before  # of the trained network
    return replace(found, metrics={**result.metrics, **found.metrics})


def _finish(recipe: Recipe, result: TrainingResult, progress: Progress) -> TrainingResult:
    """Calibrate a trained network on the validation rows, if there are any, and evaluate it."""
    network, seed = result.network, result.seed
    plain_train, validation = train_validation_split(recipe, result.train)
    if validation:
        if recipe.takes_images and not recipe.pictures:
            temperature, abstention = calibrate(network, recipe, validation, seed, progress)
            result = replace(result, abstention=abstention)
            result.metrics["temperature"] = temperature
        on_validation = evaluate(network, recipe, validation).items()
        result.metrics.update({f"validation_{name}": value for name, value in on_validation})
    result.metrics.update(evaluate(network, recipe, result.evaluation_split))
    if result.held_out:
        metric = recipe.acceptance.metric
        result.metrics[f"train_{metric}"] = evaluate(network, recipe, plain_train)[metric]
    if recipe.is_of_own_data and result.held_out:
        result.metrics.update(simple_metrics(network, recipe, plain_train, result.held_out))
    return result


def _train_network(
    recipe: Recipe, train_split: Split, seed: int, device: torch.device, progress: Progress
) -> tuple[Network, list[CurvePoint]]:
    """Train the teacher, the network and its OOD head, as far as the recipe has them; the result is on the CPU.

    All three are trained on the device; calibration and the seed sweep run on the CPU.
    """
    step_factory: StepFactory = make_step
    if isinstance(recipe.training, GradientDescent):
        inputs = with_artifacts(train_split.inputs, recipe.training.distortion, seed, progress)
        train_split = replace(train_split, inputs=inputs)
        if recipe.training.teacher:
            step_factory = distillation_step(train_teacher(recipe, train_split.to(device), seed, progress))
            progress.start_network(recipe, seed, verbose=seed == recipe.seed)
    network, curve = fit_from_seed(recipe, train_split, seed, device, progress, step_factory)
    if isinstance(network, ImageNetworkWithOod):
        train_ood_head(network, recipe, train_split, seed, device, progress)
    return network, curve


def fit_from_seed(
    recipe: Recipe, train: Split, seed: int, device: torch.device, progress: Progress, step_factory: StepFactory
) -> tuple[Network, list[CurvePoint]]:
    """Initialise the network from the seed and train it on the device, without teacher and OOD head.

    The result is on the CPU, in evaluation mode, with batch normalisation folded into the linear layers.
    """
    network = build_initialised(recipe, train, seed).to(device)
    curve = fit(network, train.to(device), recipe, seed, progress, step_factory)
    network.cpu().eval()
    network.layers = fold_batch_norm(network.layers)
    return network, curve


def train_validation_split(recipe: Recipe, data: Split) -> tuple[Split, Split | None]:
    """The rows to train on, and the last `recipe.validation_rows` rows; None if there are none of these."""
    if not recipe.validation_rows:
        return data, None
    rows = len(data.targets) - recipe.validation_rows
    validation = Split(data.inputs[rows:], data.targets[rows:])
    return Split(data.inputs[:rows], data.targets[:rows], validation), validation


def evaluate(network: Network, recipe: Recipe, data: Split) -> dict[str, float]:
    """The metrics of a network on labelled data: `tasks.compute_metrics`, those that the recipe has."""
    with torch.inference_mode():
        outputs = network.all_outputs(data.inputs)
        if recipe.task == "mixture":
            return tasks.mixture_metrics(outputs, data.targets)
        metrics = tasks.compute_metrics(recipe.task, outputs[0], data.targets)
    if recipe.acceptance.metric != "balanced_accuracy":
        metrics.pop("balanced_accuracy", None)
    return metrics
