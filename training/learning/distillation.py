"""Knowledge distillation: a convolutional teacher is trained first, and its predictions are the student's targets."""

from typing import cast

import msgspec
import torch
from torch import Tensor, nn

from service.bundle.manifest import Task
from training.datasets.dataset import Split
from training.learning.fit import fit
from training.learning.optimisation import StepFactory, TrainingStep, autocast, autograd_step
from training.networks.convolutional import CONV_FORMAT, convolutions
from training.networks.mlp import add_batch_norm
from training.networks.network import ImageNetwork
from training.networks.scaling import PixelScaling
from training.progress import Progress
from training.recipes.gradient_descent import GradientDescent, Teacher
from training.recipes.recipe import Recipe


def train_teacher(recipe: Recipe, train: Split, seed: int, progress: Progress) -> ImageNetwork:
    """Train the teacher of a recipe on the training data (and its device), from the seed."""
    network, teacher_recipe = build_teacher(recipe, seed)
    progress.start_network(teacher_recipe, seed, verbose=seed == recipe.seed)
    fit(network.to(train.inputs.device), train, teacher_recipe, seed, progress)
    return network


def build_teacher(recipe: Recipe, seed: int) -> tuple[ImageNetwork, Recipe]:
    """The teacher of a recipe with weights sampled from the seed, and the recipe of its own training."""
    torch.manual_seed(seed)
    teacher, student = cast(Teacher, recipe.gradient_descent.teacher), recipe.gradient_descent
    stages = convolutions(teacher.channels, bias=False)
    output = nn.Dropout(teacher.dropout), nn.Linear(teacher.channels[-1], recipe.layers[-1])
    layers = add_batch_norm(nn.Sequential(*stages, *output)).to(memory_format=CONV_FORMAT)
    config = GradientDescent(
        teacher.optimiser,
        teacher.batch_size,
        teacher.epochs,
        weight_decay=student.weight_decay,
        schedule="one-cycle",
        precision=student.precision,
        distortion=student.distortion,
    )
    network = ImageNetwork(PixelScaling(centred=recipe.scaling == "centred"), layers, nn.Softmax(dim=1))
    return network, msgspec.structs.replace(recipe, name=f"{recipe.name}'s teacher", training=config)


def distillation_step(teacher: ImageNetwork) -> StepFactory:
    """Training steps with the teacher's softened probabilities for the same inputs as targets; labels are ignored."""
    teacher_layers = teacher.layers.eval()

    def step_factory(layers: nn.Sequential, task: Task, config: GradientDescent, steps: int) -> TrainingStep:
        temperature = cast(Teacher, config.teacher).temperature
        student_step = autograd_step(layers, task, config, steps, temperature)

        def step(inputs: Tensor, _labels: Tensor) -> Tensor:
            with torch.no_grad(), autocast(config, inputs):
                teacher_probabilities = torch.softmax(teacher_layers(inputs).float() / temperature, dim=1)
            return student_step(inputs, teacher_probabilities)

        return step

    return step_factory
