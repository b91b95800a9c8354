"""The command line of `import`."""

import argparse
import csv
from pathlib import Path

import msgspec

from service.bundle.loading import is_a_name
from service.bundle.manifest import MAX_SIDE
from service.bundle.signature import TensorSpec
from service.settings import Settings
from training import commands
from training.arguments import add_models_dir, add_preprocess, bundle_name

IMPORT = (
    "Reads an ONNX or TorchScript file, says what its inputs and outputs are taken for, and writes a bundle, of\n"
    "which it is checked that the service answers what the file does. Features and classes are named by options,\n"
    "or by the file and the samples; a network of which nothing is said is served as tensors, by its own names.\n\n"
    "examples:\n"
    "  %(prog)s forest.onnx --labels setosa,versicolor,virginica --samples iris.csv\n"
    "  %(prog)s net.onnx --features age,visits --labels silver,gold --logits\n"
    "  %(prog)s prices.onnx --features rooms,area --targets price --name prices\n"
    "  %(prog)s pets.onnx --labels cat,dog --logits --image 64x64x3 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225\n"
    "  %(prog)s net.pt --input x:FP32:-1,3,32,32\n"
    "  %(prog)s detector.onnx                any inputs and outputs, over V1 and V2"
)


def add_import(command: argparse.ArgumentParser, settings: Settings) -> None:
    """The file, and what is said of the network in it."""
    command.add_argument("file", type=Path, metavar="FILE", help="an ONNX file (.onnx), or TorchScript (.pt)")
    command.add_argument("--name", type=bundle_name, help="of the bundle (default: the name of the file)")
    command.add_argument("--features", type=names, default=(), metavar="A,B,C", help="names of the inputs, in order")
    labels_help = "names of the classes, in the order of the output (default: those in the file)"
    command.add_argument("--labels", type=names, default=(), metavar="A,B,C", help=labels_help)
    command.add_argument("--targets", type=names, default=(), metavar="A,B", help="names of the values of a regression")
    command.add_argument("--output", metavar="NAME", help="the output that has the probabilities or values")
    logits_help = "the output is logits: add the softmax, or for one output the sigmoid"
    command.add_argument("--logits", action="store_true", help=logits_help)
    input_help = "of a TorchScript file, whose inputs have no shapes: for each one its name, data type and shape"
    command.add_argument(
        "--input", dest="inputs", type=tensor, action="append", default=[], metavar="x:FP32:-1,4", help=input_help
    )
    size_help = "it takes pictures of this height and width, and with x3 in colour"
    command.add_argument("--image", type=image_shape, metavar="28x28", help=size_help)
    add_preprocess(command)
    range_help = "what 0 and 255 are for the network (default: 0,1; 0,255 where its input is UINT8)"
    command.add_argument("--pixels", type=numbers, metavar="LOW,HIGH", help=range_help)
    for name, words in (("mean", "subtracted from that"), ("std", "what is left is divided by")):
        command.add_argument(
            f"--{name}", type=numbers, default=(), metavar="R,G,B", help=f"{words}: one number, or one for each colour"
        )
    tensors_help = "serve its inputs and outputs by their names, whatever the file says of classes"
    command.add_argument("--tensors", action="store_true", help=tensors_help)
    samples_help = "a table of rows that the network is for: examples, ranges, and baselines to detect drift"
    command.add_argument("--samples", type=Path, metavar="TABLE", help=samples_help)
    add_models_dir(command, settings)
    command.set_defaults(run=commands.import_network)


def image_shape(text: str) -> tuple[int, ...]:
    """An argparse type: `28x28`, or `32x32x3` in colour."""
    sizes = text.lower().split("x")
    shape = tuple(int(size) for size in sizes if size.isdecimal())
    colours = shape[2:] in ((), (3,))
    if len(shape) != len(sizes) or len(shape) < 2 or not colours or not all(0 < side <= MAX_SIDE for side in shape):
        raise argparse.ArgumentTypeError(f"{text!r}: expected such as 28x28, or 32x32x3, sides up to {MAX_SIDE}")
    return shape


def numbers(text: str) -> tuple[float, ...]:
    """An argparse type: numbers with commas between them."""
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers with commas between them") from None


def names(text: str) -> tuple[str, ...]:
    """An argparse type: names with commas between them."""
    found = tuple(name.strip() for name in next(csv.reader([text]), []))
    if not all(map(is_a_name, found)) or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected different names with commas between them")
    return found


def tensor(text: str) -> TensorSpec:
    """An argparse type: an input such as `x:FP32:-1,28,28`, whose first dimension is the batch."""
    name, _, rest = text.partition(":")
    datatype, _, shape = rest.partition(":")
    try:
        spec = msgspec.convert({"name": name, "datatype": datatype, "shape": [*map(int, shape.split(","))]}, TensorSpec)
    except (ValueError, msgspec.ValidationError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected such as x:FP32:-1,28,28 ({error})") from None
    if spec.shape[0] != -1:
        raise argparse.ArgumentTypeError(f"{text!r}: the first dimension is the batch, and is -1")
    return spec
