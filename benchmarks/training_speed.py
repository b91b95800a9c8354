"""Training speed of `mnist-deep`: this project's training loop and the lecture's loop."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from training.datasets import open_dataset
from training.datasets.dataset import Split
from training.datasets.mnist import Mnist
from training.learning.fit import fit
from training.networks.network import ImageNetwork, build
from training.progress import Progress
from training.recipes import RECIPES

RECIPE = RECIPES["mnist-deep"]
TRAINING = RECIPE.gradient_descent


def measure(data_dir: Path, rounds: int, steps: int, *, full: bool) -> None:
    """Print the milliseconds per step of each loop and the ratio of their medians; with `full`, train with both too."""
    torch.set_num_threads(1)
    data = open_dataset("mnist", data_dir).train(RECIPE.seed)
    subset = Split(data.inputs[: steps * TRAINING.batch_size], data.targets[: steps * TRAINING.batch_size])
    images = MNIST(str(data_dir), train=True, transform=ToTensor())
    ours, lecture = [], []
    for number in range(rounds):
        lecture.append(time_lecture(images, steps))
        ours.append(time_ours(subset, steps))
        print(f"round {number + 1}: lecture {lecture[-1]:.3f} ms/step, ours {ours[-1]:.3f} ms/step")
    lecture_ms, our_ms = statistics.median(lecture), statistics.median(ours)
    print(f"median: lecture {lecture_ms:.3f} ms/step, ours {our_ms:.3f} ms/step: ratio {lecture_ms / our_ms:.2f}")
    if full:
        test = Mnist(data_dir).held_out(RECIPE.seed)
        for name in ("lecture", "ours"):
            started = time.monotonic()
            network = train_with_lecture_loop(images) if name == "lecture" else train_with_our_loop(data)
            print(f"{name}: {time.monotonic() - started:.1f} s, test accuracy {accuracy(network, test):.4f}")


def time_ours(subset: Split, steps: int) -> float:
    """Milliseconds per step of `training.learning.fit.fit`, with data preparation and shuffling."""
    network = initial_network()
    recipe = msgspec.structs.replace(RECIPE, training=msgspec.structs.replace(TRAINING, epochs=1))
    started = time.perf_counter()
    fit(network, subset, recipe, RECIPE.seed, Progress.silent())
    return (time.perf_counter() - started) / steps * 1000


def time_lecture(images: MNIST, steps: int) -> float:
    """Milliseconds per step of the lecture's loop; the first batch is a warm-up."""
    network = initial_network().layers
    batches = iter(lecture_batches(images))
    next(batches)
    step = lecture_step(network)
    started = time.perf_counter()
    for _ in range(steps):
        step(*next(batches))
    return (time.perf_counter() - started) / steps * 1000


def train_with_our_loop(data: Split) -> ImageNetwork:
    """Train for the recipe's ten epochs with this project's loop."""
    network = initial_network()
    fit(network, data, RECIPE, RECIPE.seed, Progress.silent())
    return network


def train_with_lecture_loop(images: MNIST) -> ImageNetwork:
    """Train for the recipe's ten epochs with the lecture's loop."""
    network = initial_network()
    step = lecture_step(network.layers)
    for _ in range(TRAINING.epochs):
        for inputs, targets in lecture_batches(images):
            step(inputs, targets)
    return network


def lecture_batches(images: MNIST) -> "DataLoader[tuple[Tensor, Tensor]]":
    """The lecture's DataLoader: it decodes, converts and scales each image anew in every epoch."""
    return DataLoader(images, batch_size=TRAINING.batch_size, shuffle=True)


def lecture_step(layers: nn.Sequential) -> Callable[[Tensor, Tensor], float]:
    """One iteration of the lecture's loop: zero_grad, forward, loss, backward, step; it returns the loss."""
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(layers.parameters(), lr=TRAINING.optimiser.learning_rate)

    def step(inputs: Tensor, targets: Tensor) -> float:
        optimizer.zero_grad()
        loss: Tensor = criterion(layers(inputs.view(-1, 784)), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def initial_network() -> ImageNetwork:
    """The recipe's network, initialised from the recipe's seed."""
    torch.manual_seed(RECIPE.seed)
    network = build(RECIPE)
    assert isinstance(network, ImageNetwork)  # noqa: S101 - MNIST's recipes build no other class
    return network


def accuracy(network: ImageNetwork, test: Split) -> float:
    """The accuracy on MNIST's 10,000 test images."""
    with torch.inference_mode():
        correct = network(test.inputs).argmax(dim=1) == test.targets
    fraction: float = correct.double().mean().item()
    return fraction
