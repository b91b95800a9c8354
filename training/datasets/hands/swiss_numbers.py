"""The Swiss writers of `numbers`: scans of digits that were written on paper."""

from typing import ClassVar

from training.datasets.hands.files import read_checked
from training.datasets.hands.handwriting import Handwriting, HandwritingDataset
from training.datasets.hands.ink import image_of_scan

COMMIT = "61220a7a8e9c88cd697d5dc8bec8c34383701043"


class SwissNumbers(HandwritingDataset):
    """8,624 digits of fifteen Swiss men: 6,851 of twelve for training, 1,773 of the last three held out.

    The files `<writer>/<digit>/number-<place on the form>.png` are about 100x100, black and white, grey or in colour.
    Folders of writers are named by number, country, age in decades and sex. A few digits are cut off at an edge, and
    about one in a thousand is not the digit that its folder says.
    """

    name = "numbers"
    source = f"Numbers, A. Schroeder and others (2017), Swiss writers, https://github.com/kensanata/numbers at {COMMIT}"
    licence = "CC0-1.0"
    url = f"https://github.com/kensanata/numbers/archive/{COMMIT}.zip"
    root = f"numbers-{COMMIT}/"
    SHA256: ClassVar[dict[str, str]] = {
        "0001_CH4M": "8074d743f70d6be502c2e5b3896b2416271a56d2a8b83ce78f37a9602504844a",
        "0002_CH5M": "4a599056d81db1a16f35ce553c5b4d86e8b40261be0f3588c272d7624fceb8a2",
        "0003_CH3M": "d1de0551912e90c9a67aabedda1698a629318e9034d202730bd75c5eb086fb12",
        "0004_CH4M": "6822c052c0b29cca14c2052c9f1fdbf62dc0ae4e80c797ddb0b8795f58b0c29f",
        "0005_CH3M": "0e245406d01e9234527af756a5344537b210dd7f643da15dbfbcc3c4b56be7b5",
        "0006_CH4M": "246c4b55113cc92fe1dcea362b27d69041ef70a99a4fdb20b09d01cc5317f56e",
        "0007_CH3M": "89e3279a9328d8473ddcb508b8e143df28ccf93e89eab6c23625ddd9bf75c929",
        "0009_CH4M": "1b54917a14dbd1442771e1a1862a16472da716813098e40341acc82c078acc03",
        "0010_CH3M": "088a3515e74304a2da5f1378e7132e03f351e5541090f8f40ae9e3f6bd5f7163",
        "0012_CH3M": "9ce509fa403c5afd186e6df3231ab566cf2a2fdeea445f41cdd42a550d6a6091",
        "0013_CH3M": "e43b7c2d1850de8e15191503b2de5c9e413b5281b340f30ba454686075bf858f",
        "0015_CH2M": "79cd217828303735da9b9868eb6501f8e03c2ac4e27674a1ff680cddb9a1c46c",
        "0017_CH4M": "85f4a6680f5f55e1463f162d1fe7e85d1bd3d1cbd67b2678d051601e330750b8",
        "0020_CH4M": "456b3aa3a25082a34aa50afbe60859222c4c837cf6533fae485bb4db36304048",
        "0021_CH4M": "d88e3187d6be6fe7f87b564572dea7b0dfb863999a6e1e220b016bfa1d7d6ee2",
    }
    """Of the files of each writer, sorted by path: see `read_checked`."""
    HELD_OUT: ClassVar[tuple[str, ...]] = ("0017_CH4M", "0020_CH4M", "0021_CH4M")
    entries = tuple(SHA256)

    def training_rows(self) -> Handwriting:
        """6,851 digits of twelve writers."""
        return self._of(*(writer for writer in self.SHA256 if writer not in self.HELD_OUT))

    def held_out_rows(self) -> Handwriting:
        """1,773 digits of three writers."""
        return self._of(*self.HELD_OUT)

    def files(self, writer: str) -> list[tuple[str, bytes]]:
        """Path and content of each file of one writer."""
        folder = self._available_folder()
        paths = sorted(path.relative_to(folder).as_posix() for path in folder.glob(f"{writer}/[0-9]/*.png"))
        return list(zip(paths, read_checked(folder, paths, self.SHA256[writer]), strict=True))

    def _of(self, *writers: str) -> Handwriting:
        return Handwriting.of(
            (image_of_scan(file), int(path.split("/")[1]), int(writer[:4]))
            for writer in writers
            for path, file in self.files(writer)
        )
