"""Make bundles, offline.

The life of one, and where to read on:

    python -m training train mnist-deep

    recipes/       1. declared   data, network, optimiser or weights set by hand, and the figure that it must reach
    datasets/      2. data in    arrays with checksums; held-out data is opened only after the last epoch
    check              the recipe and its data set fit together
    networks       3. built      scaling -> layers -> probabilities or values, all of it in the graph
    train          4. trained    what a recipe asks for, step by step; judged; refused below its bar
    fit                one plain loop over tensors in memory
    background         a second network on top, for what is none of the classes
    tasks              the three kinds of output, each with its loss and its measure
    calibrate          what its probabilities mean, and below which an answer is unsure
    descent            one step of gradient descent, as a recipe asks for it
    backprop           the same step, written out, where speed counts
    trials             many small networks at once: from how many seeds does it learn?
    export         5. exported   one network -> ONNX, TorchScript, manifest, golden examples; then renamed into models/
    spread             how the rows of training are distributed, for whoever looks for drift
    report/            and a page of what it is, how it learned, and where it errs
    verify         6. verified   both files against the network, through the runtimes that will serve them

`reopen` brings a bundle back as what it was when it was trained, `compare` trains one recipe in several ways,
`lectures/` sets the figures of the lectures beside ours. `commands` is what each command does, `progress` what one
sees meanwhile, `errors` what can go wrong. This package imports `service` (its bundles and
runtimes, so that what is verified is what is served); never the reverse.
"""
