"""The contract between training and serving: what a bundle is, and the checks that it must pass to be opened.

    signature   names, data types and shapes of the inputs and outputs
    baseline    how the monitored values were distributed over the training data
    manifest    the fields of `manifest.json`
    loading     from a folder to a checked bundle: schema, then checksums
    signing     signatures of bundles, where the service asks for them
    golden      golden examples: inputs with the outputs that every runtime must give

A bundle is a folder, `models/<name>/<version>/`:

    manifest.json   everything but the numbers: the fields of `Bundle`
    model.onnx      the network for ONNX Runtime, weights inside
    model.pt        the same network as TorchScript
    golden.json     golden examples
    curve.json      the learning curve; not read by the service
    manifest.sig    its signature, if it is signed
    report.html     what the network is and how well it does, for people

Everything numerical (scaling, standardisation, softmax, calibration) is inside the graph, so that all runtimes agree.
This package imports nothing of the service but its `errors`.
"""
