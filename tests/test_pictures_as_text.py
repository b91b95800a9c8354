"""Pictures as text, as programs and browsers write them, wherever a picture may stand."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from conftest import MODELS
from in_process import Response, post
from running_service import ROOT

from service.app import create_app
from service.errors import BadRequest
from service.http.routing import DigitalisApp
from service.images.base64_text import decode_base64, is_base64
from service.inference.version_folders import find_bundles
from service.settings import Settings

FILE = (ROOT / "samples/3.png").read_bytes()
STANDARD = base64.b64encode(FILE).decode()
SPELLINGS = {
    "standard": STANDARD,
    "a data URI": f"data:image/png;base64,{STANDARD}",
    "a data URI with parameters": f"data:image/png;name=3.png;base64,{STANDARD}",
    "lines of 76 characters": base64.encodebytes(FILE).decode(),
    "lines that end with CR LF": base64.encodebytes(FILE).decode().replace("\n", "\r\n"),
    "spaces around it": f"  {STANDARD}\n",
    "URL-safe": base64.urlsafe_b64encode(FILE).decode(),
    "without padding": STANDARD.rstrip("="),
    "URL-safe without padding": base64.urlsafe_b64encode(FILE).decode().rstrip("="),
}


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    settings = Settings(device="cpu", workers=1, intra_op_threads=1, log_requests="none")
    folders = [folder for folder in find_bundles(MODELS) if folder.parent.name in ("mnist-deep", "iris")]
    return create_app(settings, folders)


def predict(app: DigitalisApp, body: bytes, content_type: str) -> Response:
    return post(app, "/v1/models/mnist-deep:predict", body, {"Content-Type": content_type})


def label(response: Response) -> Any:
    assert response.status == 200, response.body
    return response.json()["predictions"][0]["label"]


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_of_base64_is_a_picture_wherever_one_may_stand(app: DigitalisApp, text: str) -> None:
    for instance in ({"b64": text}, text):
        assert label(predict(app, json.dumps({"instances": [instance]}).encode(), "application/json")) == "3"
    form = f'--xx\r\nContent-Disposition: form-data; name="picture"\r\n\r\n{text}\r\n--xx--\r\n'.encode()
    assert label(predict(app, form, "multipart/form-data; boundary=xx")) == "3"
    for content_type in ("text/plain", "", "image/png"):
        assert label(predict(app, text.encode(), content_type)) == "3"


def test_a_file_of_a_form_may_be_a_text(app: DigitalisApp) -> None:
    disposition = 'Content-Disposition: form-data; name="picture"; filename="3.txt"'
    form = f"--xx\r\n{disposition}\r\n\r\n{SPELLINGS['a data URI']}\r\n--xx--\r\n".encode()
    assert label(predict(app, form, "multipart/form-data; boundary=xx")) == "3"


def form_of(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts with these parameters of their Content-Disposition."""
    heads = [(b"--xx\r\nContent-Disposition: form-data; " + head.encode(), content) for head, content in parts]
    return b"".join(head + b"\r\n\r\n" + content + b"\r\n" for head, content in heads) + b"--xx--\r\n"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_picture_in_a_text_field_is_read_beside_files_in_the_order_of_the_form(
    app: DigitalisApp, spelling: str
) -> None:
    seven = ('name="file"; filename="7.png"', (ROOT / "samples/7.png").read_bytes())
    drawn = ('name="drawn"', SPELLINGS[spelling].encode())
    for parts, labels in (((seven, drawn), ["7", "3"]), ((drawn, seven, drawn), ["3", "7", "3"])):
        response = predict(app, form_of(*parts), "multipart/form-data; boundary=xx")
        assert [prediction["label"] for prediction in response.json()["predictions"]] == labels


@pytest.mark.parametrize(
    "text",
    [b"drawn on a tablet, at noon " * 10, b"eyJhbGciOiJIUzI1NiJ9" * 20, b"0123456789abcdef" * 8, b"", b"\0" * 100],
)
def test_a_text_field_that_is_no_picture_is_passed_over_beside_a_file(app: DigitalisApp, text: bytes) -> None:
    form = form_of(('name="note"', text), ('name="file"; filename="3.png"', FILE))
    assert label(predict(app, form, "multipart/form-data; boundary=xx")) == "3"
    rows = form_of(('name="note"', text), ('name="file"; filename="rows.csv"', b"5.1,3.5,1.4,0.2\n"))
    headers = {"Content-Type": "multipart/form-data; boundary=xx"}
    assert label(post(app, "/v1/models/iris:predict", rows, headers)) == "setosa"


def test_a_picture_beside_a_table_is_an_error_of_a_vector_model(app: DigitalisApp) -> None:
    table = ('name="file"; filename="rows.csv"', b"5.1,3.5,1.4,0.2\n")
    form = form_of(table, ('name="drawn"', SPELLINGS["a data URI"].encode()))
    response = post(app, "/v1/models/iris:predict", form, {"Content-Type": "multipart/form-data; boundary=xx"})
    assert response.status == 415
    assert "iris does not accept multipart/form-data" in response.json()["error"]


@pytest.mark.parametrize(
    "parameters",
    ["boundary= xx", "boundary = xx", 'BOUNDARY ="xx"', "charset=utf-8;boundary=xx", "x-boundary=yy; boundary=xx"],
)
def test_a_boundary_may_have_spaces_around_it_and_stand_anywhere(app: DigitalisApp, parameters: str) -> None:
    form = form_of(('name="file"; filename="3.png"', FILE))
    assert label(predict(app, form, f"multipart/form-data; {parameters}")) == "3"


def test_a_text_whose_plus_signs_became_spaces_is_mended(app: DigitalisApp) -> None:
    assert "+" in STANDARD
    for text in (STANDARD, SPELLINGS["a data URI"], SPELLINGS["lines of 76 characters"], SPELLINGS["without padding"]):
        spaced = text.replace("+", " ")
        assert decode_base64(spaced) == FILE
        assert label(predict(app, spaced.encode(), "text/plain")) == "3"


@pytest.mark.parametrize("length", [4, 8, 64, 10])
def test_a_text_in_groups_of_one_length_has_no_plus_signs_put_in(length: int) -> None:
    text = base64.b64encode(b"a picture without a plus sign " * 10).decode()
    grouped = " ".join(text[start : start + length] for start in range(0, len(text), length))
    assert decode_base64(grouped) == b"a picture without a plus sign " * 10


FORMS = {
    "escaped": urlencode({"image": STANDARD}),
    "not escaped": f"image={STANDARD}",
    "a data URI": urlencode({"image": SPELLINGS["a data URI"]}),
    "a data URI that is not escaped": f"image={SPELLINGS['a data URI']}",
    "escapes in small letters": urlencode({"image": SPELLINGS["a data URI"]})
    .replace("%2B", "%2b")
    .replace("%3A", "%3a"),
    "lines": urlencode({"image": SPELLINGS["lines of 76 characters"]}),
    "URL-safe": urlencode({"image": SPELLINGS["URL-safe"]}),
    "beside other fields": urlencode({"csrf": "x" * 32, "images[]": STANDARD, "name": "3.png"}),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_picture_may_be_a_field_of_a_form_in_one_line(app: DigitalisApp, form: str) -> None:
    assert label(predict(app, form.encode(), "application/x-www-form-urlencoded; charset=UTF-8")) == "3"


def test_every_picture_of_a_form_in_one_line_has_a_prediction(app: DigitalisApp) -> None:
    form = f"first={STANDARD}&second={STANDARD}&third=3".encode()
    response = predict(app, form, "application/x-www-form-urlencoded")
    assert [one["label"] for one in response.json()["predictions"]] == ["3", "3"]
    response = predict(app, f"first={STANDARD}&second={STANDARD[:400]}".encode(), "application/x-www-form-urlencoded")
    assert response.status == 400
    assert response.json()["error"].startswith("field 2 (second): a damaged image: it is truncated")


def test_a_file_of_that_type_is_a_file_whatever_is_in_it(app: DigitalisApp) -> None:
    file = FILE + b"&picture=" + STANDARD.encode() + b"&" * 2000
    assert label(predict(app, file, "application/x-www-form-urlencoded")) == "3"


def test_a_form_of_too_many_fields_is_rejected(app: DigitalisApp) -> None:
    form = b"a=1&" * 1000 + f"picture={STANDARD}".encode()
    response = predict(app, form, "application/x-www-form-urlencoded")
    assert (response.status, response.json()["error"]) == (413, "the form has over 1,000 fields: send several requests")


@pytest.mark.parametrize("boundary", ["a/b", "a=b", "a:b", "a?b", "a,b", "----x/=:?,'()+_.-y"])
def test_a_boundary_without_quotes_may_have_characters_that_need_them(app: DigitalisApp, boundary: str) -> None:
    head = 'Content-Disposition: form-data; name="picture"; filename="3.png"\r\n\r\n'
    form = f"--{boundary}\r\n{head}".encode() + FILE + f"\r\n--{boundary}--\r\n".encode()
    assert label(predict(app, form, f"multipart/form-data; boundary={boundary}")) == "3"
    assert label(predict(app, form, f'multipart/form-data; boundary="{boundary}"; charset=utf-8')) == "3"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("not base64!", "'!' is no character of base64"),
        ("data:image/png,%89PNG", "a data URI without ;base64"),
        ("data:image/png;base64,", "the base64 text is empty"),
        ("abcde", "5 characters of base64: one or two are missing at its end"),
        ("aGVsbG8ü", "'ü' is no character of base64"),
        ("aGVsbG9=x", "no character of base64"),
    ],
)
def test_what_is_no_base64_is_an_error_that_says_why(app: DigitalisApp, text: str, error: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_base64(text)
    assert error in str(caught.value)
    response = predict(app, json.dumps({"instances": [{"b64": text}]}).encode(), "application/json")
    assert (response.status, response.json()["error"]) == (400, f"instances[0].b64: {caught.value}")


@pytest.mark.parametrize("path", sorted((ROOT / "samples").glob("*.*g")), ids=lambda path: path.name)
def test_a_picture_file_is_never_taken_for_a_text(path: Path) -> None:
    assert not is_base64(path.read_bytes())


@pytest.mark.parametrize("magic", [b"GIF89a", b"BM", b"RIFF\x10\0\0\0WEBPVP8 ", b"II*\0", b"P5 28 28 255\n"])
def test_neither_is_one_that_begins_with_letters(magic: bytes) -> None:
    assert not is_base64(magic + bytes(range(60)))
