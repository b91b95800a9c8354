"""From bundles to predictions.

    repository   the models by name and version, and the folders under `models/`
    model        a bundle opened by a runtime: checks inputs, runs, checks outputs
    runtimes/    ONNX Runtime and TorchScript, on CUDA or the CPU
    abstention   reasons to distrust a prediction

This package knows nothing of HTTP, protocols or observability.
"""
