"""Augmentation: images that are harder to read than those of MNIST, and images that are no digits.

distortion             each mini-batch of digits rotated, sheared, thickened, ...
normaliser_artifacts   digits that went through the service's normaliser after they were made small or bilevel
ood_negatives          images of no class: letters, scribbles, rotated digits, textures
"""
