"""What a body that is not JSON probably is, and what would be right."""

import re

SEEN = 2**12  # bytes
# The first that is found in the beginning of a body, and the advice.
NEARLY_JSON = (
    (re.compile(rb"\A(\xff\xfe|\xfe\xff|[\[{]\x00|\x00[\[{])"), "it is UTF-16: send UTF-8"),
    (re.compile(rb"\A\s*[\[{]\s*'"), "names and texts are in double quotes, as json.dumps() writes them"),
    (
        re.compile(rb"[\[,:]\s*-?(NaN|Infinity|nan|inf)\b"),
        "NaN and Infinity are no JSON: null stands for a missing value",
    ),
    (re.compile(rb"[\[,:]\s*(True|False|None)\b"), "it is Python: json.dumps() writes true, false and null"),
    (
        re.compile(rb"[\]}][^\S\n]*+\n\s*+[\[{]"),
        "with a document in each line the Content-Type is application/x-ndjson",
    ),
    (re.compile(rb"\A[^\[{=]*,[^\[{]*\Z"), "the Content-Type of CSV is text/csv"),
    (
        re.compile(rb"\A--[^\r\n]+\r?\nContent-Disposition"),
        "it is a form: the client sets its Content-Type",
    ),
    (
        re.compile(rb"\A(\x89PNG|\xff\xd8\xff|GIF8|RIFF|BM|II\*|MM\x00)"),
        "the Content-Type of a picture is image/png, say",
    ),
    (re.compile(rb"\A\w+=[^&]*(&|\Z)"), "it is a form: send a JSON object"),
)


def advice_for(data: bytes) -> str:
    """What to add to a message about the body; empty if it is none of these."""
    beginning = data[:SEEN]
    return next((f"; {advice}" for pattern, advice in NEARLY_JSON if pattern.search(beginning)), "")
