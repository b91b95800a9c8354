"""The segmenter's network: a U-Net from a grey picture to the ink of its digit (Ronneberger, Fischer, Brox, 2015)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pixel_shuffle, pixel_unshuffle

CHANNELS = (16, 32, 64)  # of the three levels
UNSHUFFLE = 2  # pixels a side that are the channels of the first level
FLAT = 0.02  # of the range: pictures with a lower standard deviation are not brought to 1
MULTIPLE = UNSHUFFLE * 2 ** (len(CHANNELS) - 1)  # pixels: height and width are a multiple of it


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Segmenter(nn.Module):
    """Logits of the ink at each pixel, of how many digits there are, and of the polarity.

    Brightness, contrast and polarity of the picture do not matter: it is standardised. The mean of the deepest features
    of the whole picture is added to each of them. Skip connections add, and enlarging repeats pixels: both take half
    the time of concatenation and transposed convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        fine, middle, deep = CHANNELS
        pixels = UNSHUFFLE**2
        self.unshuffle, self.flat = UNSHUFFLE, FLAT  # TorchScript sees no constants of a module
        self.fine = _convolution(pixels, fine)
        self.middle = _convolution(fine, middle)
        self.deep = nn.Sequential(_convolution(middle, deep), _convolution(deep, deep))
        self.context = nn.Linear(deep, deep)
        self.to_middle = nn.Conv2d(deep, middle, 1)
        self.join_middle = _convolution(middle, middle)
        self.to_fine = nn.Conv2d(middle, fine, 1)
        self.join_fine = _convolution(fine, fine)
        self.to_pixels = nn.Conv2d(fine, pixels, 1)
        self.heads = nn.Linear(2 * deep, 4)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """FP32 [n, height, width], 0 to 1 -> logits [n, height, width], and [n, 4]: 0, 1, more digits; light ink."""
        standardised, sign = self.standardise(picture)
        fine = self.fine(pixel_unshuffle(standardised.unsqueeze(1), self.unshuffle))
        middle = self.middle(max_pool2d(fine, 2))
        deep = self.deep(max_pool2d(middle, 2))
        mean, most = deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3))
        deep = deep + self.context(mean)[:, :, None, None]
        middle = self.join_middle(middle + interpolate(self.to_middle(deep), scale_factor=2.0))
        fine = self.join_fine(fine + interpolate(self.to_fine(middle), scale_factor=2.0))
        ink = pixel_shuffle(self.to_pixels(fine), self.unshuffle).squeeze(1)
        heads = self.heads(torch.cat([mean, most], dim=1))
        return ink, torch.cat([heads[:, :3], heads[:, 3:] * sign[:, None]], dim=1)

    def standardise(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """FP32 [n, height, width] -> mean 0, standard deviation 1, no negative skewness; -1 [n] where it was inverted.

        The standard deviation is less in a picture that is nearly flat. Ink is rarer than paper, so that it is lighter
        in most of these pictures; a picture and its negative are the same.
        """
        centred = picture - picture.mean(dim=(1, 2), keepdim=True)
        skewness = (centred * centred * centred).mean(dim=(1, 2))
        sign = 1 - 2 * (skewness < 0).to(torch.float32)
        deviation = centred.square().mean(dim=(1, 2)).sqrt()
        return centred * (sign / (deviation + self.flat))[:, None, None], sign


class ExportedSegmenter(nn.Module):
    """What both files compute: pixels in, probabilities out."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """UINT8 [n, h, w] -> ink UINT8 [n, h, w]; probabilities of 0, 1, more digits [n, 3], of light ink [n, 1]."""
        ink, heads = self.segmenter(picture.to(torch.float32) / 255)
        ink = (torch.sigmoid(ink) * 255).round().to(torch.uint8)
        return ink, torch.softmax(heads[:, :3], dim=1), torch.sigmoid(heads[:, 3:])
