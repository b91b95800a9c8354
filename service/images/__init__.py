"""From the bytes of an image file to the 28x28 image that a digit network takes.

    decoding       the file: PNG, JPEG, WebP, BMP, GIF or TIFF, in any mode and orientation, to greyscale
    normaliser/    any greyscale picture of one digit to 28x28, as MNIST's images were made
    network_input  both together, for a bounded number of pictures at a time

Limits are arguments: this package knows neither settings nor HTTP. It is the only one that imports Pillow.
"""
