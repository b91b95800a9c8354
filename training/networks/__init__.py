"""Networks as PyTorch modules, from raw inputs to probabilities or values; all of it is exported.

scaling         pixels to 0..1, features standardised, values back to their units
mlp             linear layers with activations; batch normalisation; fixed or uniform weights
convolutional   the teacher's layers, for knowledge distillation
network         scaling, layers and output as one module, built from a recipe; the OOD head
"""
