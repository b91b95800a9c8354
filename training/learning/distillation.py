"""A larger network that is trained first, and then says what the recipe's network should answer."""

import msgspec
import torch
from torch import Tensor, nn

from service.bundle.manifest import Task
from training.learning.optimisation import Step, StepOf, automatic, in_precision
from training.networks.network import ImageNetwork, Pixels
from training.recipes.recipe import Descent, Recipe, Teacher

SIDE = 28


def convolutions(teacher: Teacher, classes: int) -> nn.Sequential:
    """FP32 [n, 784] -> logits [n, classes]: 3x3 convolutions, two and two with pooling between, and the mean of all."""
    modules: list[nn.Module] = [nn.Unflatten(1, (1, SIDE, SIDE))]
    inputs = 1
    for i, channels in enumerate(teacher.channels):
        modules += [nn.MaxPool2d(2)] if i else []
        for _ in range(2):
            modules += [nn.Conv2d(inputs, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            inputs = channels
    mean = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(teacher.dropout)
    layers = nn.Sequential(*modules, *mean, nn.Linear(inputs, classes))
    return layers.to(memory_format=torch.channels_last)  # in half the time on a CPU


def untaught(recipe: Recipe, teacher: Teacher, seed: int) -> tuple[ImageNetwork, Recipe]:
    """The teacher's network with weights drawn by the seed, and the recipe by which it is trained itself."""
    torch.manual_seed(seed)
    layers = convolutions(teacher, recipe.layers[-1])
    learns = Descent(
        teacher.optimiser,
        teacher.batch,
        teacher.epochs,
        l2=recipe.descent.l2,
        schedule="one-cycle",
        precision=recipe.descent.precision,
        distortion=recipe.descent.distortion,
    )
    network = ImageNetwork(Pixels(centred=recipe.scaling == "centred"), layers, nn.Softmax(dim=1))
    return network, msgspec.structs.replace(recipe, name=f"{recipe.name}'s teacher", fit=learns)


def learning_from(teacher: ImageNetwork) -> StepOf:
    """Steps towards what the teacher answers to the same inputs, softened, in place of the labels."""
    answers = teacher.layers.eval()

    def step_of(layers: nn.Sequential, task: Task, descent: Descent, steps: int) -> Step:
        step = automatic(layers, task, descent, steps)
        temperature = descent.teacher.temperature if descent.teacher else 1.0

        def learn(inputs: Tensor, _labels: Tensor) -> Tensor:
            with torch.no_grad(), in_precision(descent, inputs):
                wanted = torch.softmax(answers(inputs).float() / temperature, dim=1)
            return step(inputs, wanted)

        return learn

    return step_of
