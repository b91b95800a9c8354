"""From the bytes of an image file to the 28x28 array that a network reads."""
