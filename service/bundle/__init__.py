"""The contract between training and serving: what a bundle is, and the checks that it must pass to be opened.

manifest    the fields of `manifest.json`
signature   names, data types and shapes of the inputs and outputs
golden      golden examples: inputs with the outputs that every runtime must give
"""
