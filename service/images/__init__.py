"""From the bytes of an image file to the 28x28 image that a digit network takes.

    decoding           the file: PNG, JPEG, WebP, BMP, GIF or TIFF, in any mode and orientation, to greyscale
    limits             pixels, sides and shape
    file_formats/      ... what decoding needs of a file, without text, profiles and other pictures
    decoding_memory    ... what decoding takes at its peak, from the header
    png_bands          ... large PNG files, a band of rows at a time
    greyscale_picture  ... any of Pillow's modes to greyscale, reduced first
    orientation        ... which side is up
    normaliser/        any greyscale picture of one digit to 28x28, as MNIST's images were made
    network_input      both together

Limits are arguments: this package knows neither settings nor HTTP. It is the only one that imports Pillow.
"""
