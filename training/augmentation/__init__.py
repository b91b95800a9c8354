"""Augmentation: images that are harder or stranger than those of MNIST.

distortion             each mini-batch of digits rotated, sheared, thickened, ...
normaliser_artifacts   digits that went through the service's normaliser after they were made small or bilevel
ood_negatives          images of no class: letters, scribbles, rotated digits, textures
"""
