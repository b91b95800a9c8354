"""The training loop of `mnist-deep` beside the lecture's own, at the same accuracy."""

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

from training.datasets import Split, open_dataset
from training.datasets.mnist import Mnist
from training.learning.fit import fit
from training.networks.network import ImageNetwork, build
from training.progress import Progress
from training.recipes import RECIPES

RECIPE = RECIPES["mnist-deep"]
DESCENT = RECIPE.descent


def measure(data_dir: Path, rounds: int, steps: int, *, whole: bool) -> None:
    """Print the milliseconds of a step of each loop, and the ratio of the medians."""
    torch.set_num_threads(1)
    data = open_dataset("mnist", data_dir).train(RECIPE.seed)
    part = Split(data.inputs[: steps * DESCENT.batch], data.targets[: steps * DESCENT.batch])
    images = MNIST(str(data_dir), train=True, transform=ToTensor())
    ours, lectures = [], []
    for turn in range(rounds):
        lectures.append(time_lecture(images, steps))
        ours.append(time_ours(part, steps))
        print(f"turn {turn + 1}: lecture {lectures[-1]:.3f} ms a step, ours {ours[-1]:.3f} ms a step")
    theirs, mine = statistics.median(lectures), statistics.median(ours)
    print(f"median: lecture {theirs:.3f} ms, ours {mine:.3f} ms: {theirs / mine:.2f} times faster")
    if whole:
        held_out = Mnist(data_dir).held_out(RECIPE.seed)
        for name in ("lecture", "ours"):
            started = time.monotonic()
            network = whole_lecture(images) if name == "lecture" else whole_ours(data)
            print(f"{name}: {time.monotonic() - started:.1f} s, accuracy {accuracy(network, held_out):.4f}")


def time_ours(part: Split, steps: int) -> float:
    """Milliseconds a step of `training.learning.fit.fit`, preparing and shuffling included."""
    network = fresh_network()
    recipe = msgspec.structs.replace(RECIPE, fit=msgspec.structs.replace(DESCENT, epochs=1))
    started = time.perf_counter()
    fit(network, part, recipe, RECIPE.seed, Progress.silent())
    return (time.perf_counter() - started) / steps * 1000


def time_lecture(images: MNIST, steps: int) -> float:
    """Milliseconds a step of the lecture's loop, after its first batch."""
    network = fresh_network().layers
    batches = iter(lecture_batches(images))
    next(batches)
    step = lecture_step(network)
    started = time.perf_counter()
    for _ in range(steps):
        step(*next(batches))
    return (time.perf_counter() - started) / steps * 1000


def whole_ours(data: Split) -> ImageNetwork:
    """Ten epochs of ours."""
    network = fresh_network()
    fit(network, data, RECIPE, RECIPE.seed, Progress.silent())
    return network


def whole_lecture(images: MNIST) -> ImageNetwork:
    """Ten epochs of the lecture's."""
    network = fresh_network()
    step = lecture_step(network.layers)
    for _ in range(DESCENT.epochs):
        for inputs, targets in lecture_batches(images):
            step(inputs, targets)
    return network


def lecture_batches(images: MNIST) -> "DataLoader[tuple[Tensor, Tensor]]":
    """As the lecture loads them: each image is decoded, converted and scaled when it is asked for."""
    return DataLoader(images, batch_size=DESCENT.batch, shuffle=True)


def lecture_step(layers: nn.Sequential) -> Callable[[Tensor, Tensor], float]:
    """One iteration of the lecture's loop: zero, forward, loss, backward, step, and the loss as a number."""
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(layers.parameters(), lr=DESCENT.optimiser.rate)

    def step(inputs: Tensor, targets: Tensor) -> float:
        optimizer.zero_grad()
        loss: Tensor = criterion(layers(inputs.view(-1, 784)), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def fresh_network() -> ImageNetwork:
    """The five layers, from the recipe's seed."""
    torch.manual_seed(RECIPE.seed)
    network = build(RECIPE)
    assert isinstance(network, ImageNetwork)  # noqa: S101 - what MNIST's recipes build
    return network


def accuracy(network: ImageNetwork, held_out: Split) -> float:
    """Of 10,000 test images."""
    with torch.inference_mode():
        share: float = (network(held_out.inputs).argmax(dim=1) == held_out.targets).double().mean().item()
    return share
