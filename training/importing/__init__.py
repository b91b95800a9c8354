"""Networks that were trained elsewhere -> bundles.

onnx_file        a file to a checked graph: whole, of known operators, with its weights in it
batch            a batch of any size, where the file has a fixed one
foreign          the network as its file is: its inputs and outputs, and how to run it
meaning          what its inputs and outputs are: features, labels, values; or only tensors
image_input      pictures for it: the range of its pixels, and the order of its axes
samples          rows that the network is for: examples, and the ranges of features
onnx_rewriting   the same graph with the tensors of a bundle: `features`, `probabilities`, `values`
torchscript      the same for a TorchScript module; and what is said of other files of PyTorch
imported_bundle  the bundle, checked through the runtimes of the service against the file as it was
arguments        the command line of `import`
command          `import`, and `export_network` for Python
"""
