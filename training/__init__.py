"""Train networks offline, and export them as bundles.

The life of a bundle, and where to read on:

    python -m training train mnist-deep

    recipes/                   1. declared   data set, network, optimiser or fixed weights, and acceptance threshold
      tables/, pictures/                       ... for data of one's own
    datasets/                  2. data       tensors (MNIST's files by MD5); held-out rows are read after the last epoch
    learning/validate          3. checked    the recipe is consistent, and fits its data set
    networks/                  4. built      scaling -> layers -> probabilities or values, all in one graph
    learning/train             5. trained    every step that the recipe asks for, then the acceptance test
      augmentation/                            distorted images, normaliser artifacts, OOD negatives
      learning/distillation                    a teacher network, whose predictions are the targets
      learning/fit                             the loop over epochs and mini-batches
      learning/optimisation                    one step of gradient descent (learning/backprop: a faster one)
      learning/early_stopping                  ends it when the validation loss falls no more
      learning/simple_models                   what the network of a table is compared with
      learning/ood_head                        the out-of-distribution head
      learning/calibration                     temperature scaling, and the thresholds of abstention
      learning/seed_sweep                      in how many of 100 random initialisations does training converge?
    bundles/export             6. exported   ONNX, TorchScript, manifest, golden examples, in a temporary folder
      bundles/baseline                         how the training data is distributed, to detect drift
      report/                                  a page for people: curves, confusion matrix, misclassified rows
    bundles/verify             7. verified   both files against the network, through the runtimes of the service
    bundles/export             8. published  the temporary folder is renamed to models/<name>/<next version>/

`bundles/restore` loads a bundle as it was after training. `compare` trains one recipe with several optimisers or
batch sizes. `importing/` makes bundles of networks that were trained elsewhere, by the command `import` and by
`training.export_network`. `lectures/` compares figures of the lectures with ours. `segmenter/` trains the network by
which the service finds the ink in uploads, and `normaliser` is the service's normaliser with it. `commands` and
`train_command` have a function for each command, `arguments` what several of them take, `progress` shows a training
run on the terminal, `errors` lists what can fail.

This package imports `service`, so that a bundle is verified by the code that serves it; `service` never imports this
package.
"""

from typing import Any

__all__ = ["export_network"]


def __getattr__(name: str) -> Any:
    """Import `export_network`, and PyTorch with it, when it is used."""
    if name != "export_network":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from training.importing.command import export_network

    return export_network
