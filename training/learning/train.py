"""Training: what a recipe asks for, one thing after another, and then the verdict.

Same seed, same machine, same number of threads: same weights.
"""

from dataclasses import dataclass, field
from typing import cast

import torch

from service.bundle.manifest import Abstention
from training.augmentation.normaliser_artifacts import with_residue
from training.datasets import Dataset, Split
from training.errors import BelowBar, TrainingError
from training.learning import tasks
from training.learning.calibration import calibrate
from training.learning.distillation import learning_from, untaught
from training.learning.fit import fit
from training.learning.ood_head import learn_background
from training.learning.optimisation import StepOf, step_of
from training.learning.seed_sweep import reaching
from training.learning.validate import check
from training.networks.network import Network, WaryImageNetwork, folded, prepared
from training.progress import Point, Progress
from training.recipes.recipe import Descent, Recipe, Teacher


@dataclass(frozen=True)
class Trained:
    """A network, the data it came from, how it learned, and how good it is on data that it never saw.

    `held_out` is None where all there is was learned from; the metrics are of that then. `abstention` are the
    thresholds that were found on validation rows, if there were any.
    """

    network: Network
    seed: int
    train: Split
    held_out: Split | None
    curve: list[Point]
    metrics: dict[str, float] = field(default_factory=dict)
    abstention: Abstention | None = None

    @property
    def judged_on(self) -> Split:
        """The rows that the metrics are of."""
        return self.held_out or self.train


def device_named(name: str) -> torch.device:
    """`auto` (CUDA if it answers), `cpu` or `cuda`; raises `TrainingError` for a `cuda` that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: PyTorch finds no CUDA GPU here; --device cpu trains without one")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def train(recipe: Recipe, dataset: Dataset, device: torch.device, threads: int, progress: Progress) -> Trained:
    """Train with the recipe's seed, and with the other seeds of its bar; raise `BelowBar` if that is not reached."""
    torch.set_num_threads(threads)
    metric, bar = ("validation_" if recipe.validation else "") + recipe.bar.metric, recipe.bar.value
    seeds = [recipe.seed, *(seed for seed in range(recipe.bar.seeds) if seed != recipe.seed)][: recipe.bar.seeds]
    runs = []
    for seed in seeds:
        progress.run(recipe, seed, in_full=seed == recipe.seed)
        runs.append(train_once(recipe, dataset, seed, device, progress))
        progress.judged(recipe.bar.metric, runs[-1].metrics[metric], _judged_on(recipe, runs[-1]))
    run = runs[0]
    found = torch.tensor([run.metrics[metric] for run in runs], dtype=torch.float64)
    if len(runs) > 1:
        run.metrics[f"{metric}_seeds"] = len(runs)
        run.metrics[f"{metric}_mean"] = round(found.mean().item(), 6)
        run.metrics[f"{metric}_deviation"] = round(found.std().item(), 6)
        run.metrics[f"{metric}_lowest"] = found.min().item()
        run.metrics[f"{metric}_highest"] = found.max().item()
        if run.held_out:
            on_train = [run.metrics[f"train_{recipe.bar.metric}"] for run in runs]
            run.metrics[f"train_{recipe.bar.metric}_mean"] = round(sum(on_train) / len(runs), 6)
    if recipe.trials:
        run.metrics["trials"] = recipe.trials
        run.metrics["trials_reaching_bar"] = reaching(recipe, recipe.descent, run.train)
    if found.mean() < bar:
        over = f" (mean of {len(runs)} seeds)" if len(runs) > 1 else ""
        raise BelowBar(
            f"{recipe.name}: {recipe.bar.metric} {found.mean():.4f}{over} {_judged_on(recipe, run)} is below its bar "
            f"{bar}: no bundle is written"
        )
    return run


def _judged_on(recipe: Recipe, run: Trained) -> str:
    if recipe.validation:
        return "on its validation rows"
    return "held out" if run.held_out else "on the rows it learned from"


def train_once(recipe: Recipe, dataset: Dataset, seed: int, device: torch.device, progress: Progress) -> Trained:
    """One network from one seed, judged on the held-out data, which is opened after the last epoch."""
    data = dataset.train(seed)
    check(recipe, dataset, data)
    learned, validation = parted(recipe, data)
    if isinstance(recipe.fit, Descent):
        inputs = with_residue(learned.inputs, recipe.fit.distortion, seed, progress)
        learned = Split(inputs, learned.targets)
    way = taught(recipe, learned.to(device), seed, progress) if _has_teacher(recipe) else step_of
    network = prepared(recipe, learned, seed).to(device)
    curve = fit(network, learned.to(device), recipe, seed, progress, way)
    network.cpu().eval()
    network.layers = folded(network.layers)
    if isinstance(network, WaryImageNetwork):
        learn_background(network, recipe, learned, seed, progress)
    found, abstention = {}, None
    if validation:
        found["temperature"], abstention = calibrate(network, recipe, validation, seed, progress)
        found |= {f"validation_{name}": value for name, value in judge(network, recipe, validation).items()}
    held_out = dataset.held_out(seed)
    trained = Trained(network, seed, data, held_out, curve, found, abstention)
    trained.metrics.update(judge(network, recipe, trained.judged_on))
    if held_out:
        on_train = judge(network, recipe, parted(recipe, data)[0])
        trained.metrics[f"train_{recipe.bar.metric}"] = on_train[recipe.bar.metric]
    return trained


def parted(recipe: Recipe, data: Split) -> tuple[Split, Split | None]:
    """The rows to learn from, and those for validation."""
    if not recipe.validation:
        return data, None
    rest = len(data.targets) - recipe.validation
    return Split(data.inputs[:rest], data.targets[:rest]), Split(data.inputs[rest:], data.targets[rest:])


def _has_teacher(recipe: Recipe) -> bool:
    return isinstance(recipe.fit, Descent) and recipe.fit.teacher is not None


def taught(recipe: Recipe, data: Split, seed: int, progress: Progress) -> StepOf:
    """Train the recipe's teacher; what comes back makes steps that learn from it."""
    teacher = cast(Teacher, recipe.descent.teacher)
    network, its_recipe = untaught(recipe, teacher, seed)
    progress.run(its_recipe, seed, in_full=seed == recipe.seed)
    fit(network.to(data.inputs.device), data, its_recipe, seed, progress)
    progress.run(recipe, seed, in_full=seed == recipe.seed)
    return learning_from(network)


def judge(network: Network, recipe: Recipe, data: Split) -> dict[str, float]:
    """What the network's answers to this data are worth."""
    with torch.inference_mode():
        return tasks.judge(recipe.task, network.outputs(data.inputs)[0], data.targets)
