"""The rules of openapi.yaml that its schemas can't state, written a second time.

Schemathesis knows the schemas alone. These functions say which of the requests that fit
them are to be refused all the same, from what went over the wire and never from what
the service answered; so a refusal that no rule explains is a failure, and an acceptance
that a rule forbids is one too.
"""

import json
import re
from datetime import date, datetime, timezone
from urllib.parse import parse_qs, urlsplit

MAX_ENTRY = 256 * 1024
MAX_DEPTH = 32
MAX_NUMBER = 64

# The bounds of texts in bytes of UTF-8, the same numbers as the schemas' in characters.
TEXTS = {
    "action": 200, "resourceType": 100, "resourceId": 1024, "resourceName": 1024,
    "userId": 512, "userName": 512, "ipAddress": 256, "userAgent": 2048,
}
ADMIN_TEXTS = {
    "action": 200, "userId": 512, "userName": 512, "organizationId": 64,
    "ipAddress": 256, "userAgent": 2048,
}
ADMIN_RESERVED = {"createdAt", "position", "recordedBy", "importedAt", "leafHash"}

_time = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+\- ])(\d\d):(\d\d))", re.ASCII
)


def instant(text):
    """Nanoseconds of an RFC 3339 date and time, or None. A space is a + that wasn't escaped."""
    match = _time.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    offset = int(offset_hour or 0) * 60 + int(offset_minute or 0)
    if hour > 23 or minute > 59 or second > 60 or int(offset_hour or 0) > 23 or int(offset_minute or 0) > 59:
        return None
    try:  # the calendar repeats every 400 years, and Python's has no year 0
        days = date(year % 400 + 400, month, day).toordinal() + (year // 400 - 1) * 146097
    except ValueError:
        return None
    leap, second = second == 60, min(second, 59)
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - (-offset if sign == "-" else offset) * 60
    if leap and seconds % 86400 != 86399:
        return None
    if not date.min.toordinal() <= seconds // 86400 <= date.max.toordinal():
        return None
    return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))


def query_faults(query):
    """Parameters whose values fit their schemas and are a 400 all the same, but for cursors."""
    faults = {name for name, value in query.items() if "\0" in value}
    start, end = query.get("start_date", ""), query.get("end_date", "")
    faults |= {name for name in ("start_date", "end_date") if query.get(name) and instant(query[name]) is None}
    if query.get("with_proof") == "true" and query.get("format") == "csv":
        faults.add("with_proof")
    if start and end and not faults & {"start_date", "end_date"} and instant(start) > instant(end):
        faults.add("start_date")
    return faults


def excluded_too_much(url):
    """Whether the values that a request excludes have more than 2,048 bytes together."""
    query = parse_qs(urlsplit(url).query, keep_blank_values=True, errors="replace")
    values = {(name, value) for name, sent in query.items() if name.startswith("exclude_") for value in sent}
    return sum(len(value.encode()) for _, value in values) > 2048


def body_faults(path, body):
    """What of a body that fits its schema is a 422, as words for people."""
    if path.endswith("/admin/audit-logs"):
        return list(_admin_faults(body))
    if path.endswith("/api-keys"):
        return list(_key_faults(body))
    entries = body["items"] if path.endswith("/batch") else [body]
    return [fault for entry in entries for fault in _entry_faults(entry)]


def repeated_ids(path, body):
    """Whether a batch has one id twice, which is a 400."""
    if not path.endswith("/batch"):
        return False
    ids = [entry["id"] for entry in body["items"] if "id" in entry]
    return len(ids) > len(set(ids))


def _entry_faults(entry):
    yield from _common_faults(entry, TEXTS)
    if "occurredAt" in entry and instant(entry["occurredAt"]) is None:
        yield "occurredAt"
    for state in ("beforeState", "afterState"):
        if depth(entry.get(state)) > MAX_DEPTH:
            yield f"{state} is too deep"


def _key_faults(key):
    if len(key["name"].encode()) > 100:
        yield "name is too long"
    if "expiresAt" in key:
        expires, now = instant(key["expiresAt"]), instant(datetime.now(timezone.utc).isoformat())
        if expires is None or not now < expires <= now + 2 * 365 * 86400 * 10**9:
            yield "expiresAt is no date and time, or too near or far"


def _admin_faults(entry):
    yield from _common_faults(entry, ADMIN_TEXTS)
    for name in ADMIN_RESERVED & entry.keys():
        yield f"{name} is reserved"
    if entry["action"].startswith("audit_log."):
        yield "the action is the service's own"
    if any(depth(value) > MAX_DEPTH for value in entry.values()):
        yield "a value is too deep"


def _common_faults(entry, texts):
    for name, bound in texts.items():
        if len(entry.get(name, "").encode()) > bound:
            yield f"{name} is too long"
    if entry.get("id") in (".", ".."):
        yield "the id is a path's"
    text = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > MAX_ENTRY:
        yield "the entry is too large"
    for value in scalars(entry):
        if isinstance(value, str) and "\0" in value:
            yield "a NUL character"
        elif isinstance(value, (int, float)) and len(json.dumps(value)) > MAX_NUMBER:
            yield "a number is too long"


def scalars(value):
    """Every key and every value that is no object or list."""
    if isinstance(value, dict):
        yield from value
        for member in value.values():
            yield from scalars(member)
    elif isinstance(value, list):
        for element in value:
            yield from scalars(element)
    else:
        yield value


def depth(value):
    """How many objects and lists stand within each other."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


def nested(levels):
    """A value of that depth."""
    return {} if levels == 1 else {"": nested(levels - 1)}
