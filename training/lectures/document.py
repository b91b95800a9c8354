"""docs/lectures.md."""

from collections.abc import Callable, Iterator

from training.lectures import rows
from training.lectures.rows import LatestBundles
from training.recipes import RECIPES

REVIEW = "Review 2: MLP (Hanyang, 2021)"
AILAB = "03. Multi-Layer Perceptrons (AILAB)"
AIVN = "Multilayer Perceptron (AI VIET NAM)"
DIGITS = "Classifying MNIST digits using MLP"
ELTE = "Deep Network Developments 5 (ELTE)"

OurFigure = str | Callable[[LatestBundles], str]

# Rows 1 to 18: lecture, system, the lecture's figure, our figure, and what shows it apart from the row's recipes.
SYSTEMS: tuple[tuple[str, str, str, OurFigure, str], ...] = (
    (REVIEW, "linear layers written out, 4 -> 3; 4 -> 3 -> 1 with ReLU; two linear layers equal one", "no figure",
     rows.linear_layers_row, "test"),
    (REVIEW, "MNIST by five layers", "9,761 of 10,000; loss 2.209 to 0.025", rows.mnist_deep_row, ""),
    (REVIEW, "kinds of outputs", "sigmoid, softmax, linear; mixture density and arbitrary outputs are mentioned",
     rows.outputs_row, ""),
    (REVIEW, "images with their predictions", "16 images",
     "16 test images with true and predicted class, and 16 misclassified ones", "`report mnist-deep`"),
    (AILAB, "a line through (1, 1), (2, 2), (3, 3)", "near W = 1, b = 0 after 30 epochs", rows.line_row, ""),
    (AILAB, "AND by logistic regression", "2.5810e-05, 2.5644e-02, 2.5644e-02, 9.6408e-01 at epoch 7,900",
     rows.and_row, ""),
    (AILAB, "XOR by 2-3-1",
     "1.8329e-04, 9.9974e-01, 9.9968e-01, 3.3466e-04; no learning rate, optimiser or epochs", rows.xor_row, ""),
    (AILAB, "sigmoid, tanh, ReLU, LeakyReLU over -5 to 5, and their derivatives", "plots", rows.activations_row,
     "`lectures --pictures`"),
    (AIVN, "one step of softmax regression; hours of study",
     "[[0.105, 0.194], [0.302, 0.397]] for learning rate 0.1", rows.study_hours_row, "test"),
    (AIVN, "forward and backward pass by hand, 2-2-1",
     "0.18, 0.5449, 0.7872; 0.0946, 0.0891, 0.0946; 0.0782, 0.0455; 0.8949",
     rows.backprop_row, "test"),
    (AIVN, "irises by 4-8-3", "0.9778 (44 of 45); loss 1.022 to 0.1357", rows.iris_row, ""),
    (DIGITS, "784-512-512-10, dropout, RMSprop", "no figure", rows.dropout_row, ""),
    (ELTE, "AND, OR, XOR by fixed weights", "AND 7, 7; -9, OR 7, 7; -5, XOR of the two", rows.gates_row, ""),
    (ELTE, "versicolor against the rest", "one neuron about 0.71; fixed weights 106 of 150, with OR 53",
     rows.versicolor_row, ""),
    (ELTE, "harder tasks in the plane: one line, 20+1, 20+20+20+1, weight decay", "plots", rows.plane_row, ""),
    (ELTE, "the two-layer MLP for four kinds of task", "softmax of 2.6, 1.5, 0.2, 0.6: 0.64, 0.21, 0.06, 0.09",
     rows.tasks_row, ""),
    (ELTE, "SGD, Adagrad, Adam, Adamax, RMSprop", "plots", rows.compare_row("optimisers"), "`compare optimisers`"),
    (ELTE, "full batch, mini-batch, stochastic", "plots", rows.compare_row("batches"), "`compare batches`"),
)  # fmt: skip

NOTES = """
## What differs, and why

- **5**: 30 epochs come near the line and stop; 5,000 epochs reach it. Both are recipes.
- **6**: full-batch steps reproduce the lecture's figures; with batch size 1 the second one would be 1.7e-02 instead of
  2.6e-02 after less than half of the epochs.
- **7**: the lecture states no learning rate, optimiser or number of epochs. Plain gradient descent at learning rate 5
  was chosen because it converges from most of 100 seeds: with Adam (learning rates 0.01 to 0.3) and RMSprop (0.01 to
  0.03) at most 87 did.
- **9**: the slide says learning rate 0.1, and shows the result of learning rate 0.01, truncated to three decimals.
- **11**: one random split gives 44 or 43 of 45; the mean over twenty splits says more.
- **12**: the slide applies log-softmax, and then cross-entropy, which applies it again. That is harmless, because
  log-softmax of log-softmax is log-softmax. RMSprop's default learning rate, 0.01, is too high for this network.
- **14**: trained networks and fixed weights are evaluated on all 150 flowers, as in the lecture; none are held out.
- **15** and **16**: learning rates, epochs and weight decay were chosen by these same figures. They show what
  overfitting looks like, and do not estimate the accuracy on other data. `linnerud` has twenty rows, too few to hold
  any out.
"""


def document_lines(bundles: LatestBundles) -> Iterator[str]:
    """Each line of docs/lectures.md."""
    yield "# The lectures, and our figures beside theirs"
    yield ""
    yield "Made by `python -m training lectures > docs/lectures.md`; a test checks that it is up to date. Figures of"
    yield "trained networks are read from the bundles in `models/`, the others are computed when the command runs."
    yield ""
    yield "| | lecture | system | the lecture's figure | our figure | recipes and commands |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for number, (lecture, system, reported, ours, shown_by) in enumerate(SYSTEMS, 1):
        our_figure = ours if isinstance(ours, str) else ours(bundles)
        by = ", ".join([*_recipes_of_row(number), *filter(None, [shown_by])])
        yield f"| {number} | {lecture} | {system} | {reported} | {our_figure} | {by} |"
    yield from NOTES.rstrip().splitlines()
    yield ""
    yield "## The loss of `mnist-deep`"
    yield ""
    yield "Mean over 2,000 mini-batches, as the lecture prints it: 2.209 first, 0.025 last."
    yield ""
    yield "| epoch | after 2,000 mini-batches | after 4,000 |"
    yield "| --- | --- | --- |"
    points = rows.lecture_points(bundles)
    for epoch, (first, second) in enumerate(zip(points[::2], points[1::2], strict=True), 1):
        yield f"| {epoch} | {first.loss:.3f} | {second.loss:.3f} |"


def _recipes_of_row(number: int) -> list[str]:
    recipes = RECIPES.values()
    return [f"`{recipe.name}`" for recipe in recipes if recipe.reference and recipe.reference.row == number]
