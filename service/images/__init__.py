"""From the bytes of an image file to the image that a network takes.

    decoding           the file, of any format and mode, upright, to greyscale or colour
    base64_text        ... out of a text, as programs and browsers write it
    limits             pixels, sides and shape
    file_formats/      ... what decoding needs of a file, without text, profiles and other pictures
    decoding_memory    ... what decoding takes at its peak, from the header
    heic               ... of phones, if pillow-heif is installed
    pillow_decoders    ... where Pillow would take more than there need be
    png_bands          ... large PNG files, a band of rows at a time
    greyscale_picture  ... any of Pillow's modes to greyscale or colour, reduced first
    deep_colours       ... with 16 bits a sample, of which Pillow keeps the upper 8
    orientation        ... which side is up
    reading            ... as Pillow reads a file, and whether a JPEG file has as many data as rows
    missing_rows       ... of JPEG files that end too soon
    recognised         what a file is that is no picture, and what its sender can do
    rejected_files     what is said of files that cannot be decoded
    normaliser/        any greyscale picture of one digit to 28x28, as MNIST's images were made
    fitting            any picture to an image of one size, of other things than digits
    network_input      decoding, and what the network's bundle says of the rest

Limits are arguments: this package knows neither settings nor HTTP. It is the only one that imports Pillow.
"""
