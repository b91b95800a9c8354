"""Make bundles, offline.

The life of one, and where to read on:

    python -m training train mnist-deep

    recipes/       1. declared   data, network, loss, optimiser, and the figure that it must reach
    datasets       2. data in    arrays with checksums; held-out data is opened only after the last epoch
    networks       3. built      scaling -> layers -> probabilities, all of it in the graph
    train          4. trained    one plain loop over tensors in memory; judged; refused below its bar
    backprop           one step of it, written out
    export         5. exported   one network -> ONNX, TorchScript, manifest, golden examples; then renamed into models/
    verify         6. verified   both files against the network, through the runtimes that will serve them

`progress` is what one sees meanwhile, `errors` what can go wrong. This package imports `service` (its bundles and
runtimes, so that what is verified is what is served); never the reverse.
"""
