"""Bundles: written, verified, and restored.

export            from a training result to a version folder in models/
model_files       model.onnx and model.pt
golden_examples   a few inputs with their outputs
baseline          how the training data is distributed
verify            both files against the network, through the runtimes of the service
restore           from a bundle back to its network and its training result
"""
