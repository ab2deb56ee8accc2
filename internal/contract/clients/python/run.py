"""Plays the scenario of internal/contract through the client that openapi-generator makes.

    run.py SCENARIO

with the generated package on the path. `call` maps an operation to the generated method by
its name; the rest knows no operation. What is compared has been through the client's models.
"""

import csv
import io
import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ocore_audit
from ocore_audit import ApiException, Problem
from ocore_audit.exceptions import (
    BadRequestException,
    ConflictException,
    ForbiddenException,
    NotFoundException,
    UnauthorizedException,
    UnprocessableEntityException,
)

BODIES: dict[str, tuple[str, Any]] = {
    "createAuditLog": ("new_audit_log", ocore_audit.NewAuditLog),
    "createAuditLogBatch": ("new_audit_log_batch", ocore_audit.NewAuditLogBatch),
    "createAdminAuditLog": ("new_admin_audit_log", ocore_audit.NewAdminAuditLog),
}
RENAMED = {"from": "var_from", "field": "var_field"}  # words of the language, and of what the generator imports
EXCEPTIONS = {
    400: BadRequestException,
    401: UnauthorizedException,
    403: ForbiddenException,
    404: NotFoundException,
    409: ConflictException,
    422: UnprocessableEntityException,
}


@dataclass
class Answer:
    status: int
    headers: Any
    value: Any
    problem: str | None = field(default=None)


class Failure(Exception):
    def __init__(self, what: str, found: Any, wanted: Any) -> None:
        super().__init__(f"{what} is {found!r}, not {wanted!r}")


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        scenario = json.load(file)
    saved: dict[str, Any] = {"run": f"py{int(time.time() * 1000):x}"}
    for name, value in scenario["variables"].items():
        saved[name] = expand(value, saved)
    failed = 0
    for step in scenario["steps"]:
        try:
            hold(step["expect"], answer(step, saved), saved)
            print("ok   python:", step["name"])
        except Exception as error:  # whatever a client raises fails the step, not the run
            failed += 1
            print(f"FAIL python: {step['name']}: {type(error).__name__}: {error}")
    print(f"python: {len(scenario['steps']) - failed} passed, {failed} failed")
    return 1 if failed else 0


def answer(step: dict[str, Any], saved: dict[str, Any]) -> Answer:
    holder = step.get("as", "TOKEN")
    configuration = ocore_audit.Configuration(
        host=os.environ["OCORE_AUDIT_URL"] + "/api",
        access_token=os.environ.get(holder, holder),
    )
    arguments = expand(step.get("arguments", {}), saved)
    body = expand(step.get("body"), saved)
    with ocore_audit.ApiClient(configuration) as client:
        try:
            got = call(client, step, arguments, body)
            if step.get("walk"):
                walk(client, step, arguments, got)
            return got
        except ApiException as error:
            if not isinstance(error.data, Problem):
                raise
            if type(error) is not EXCEPTIONS.get(error.status, ApiException):
                raise
            kind = error.data.type.rsplit("/", 1)[-1]
            return Answer(error.data.status, error.headers, plain(error.data), kind)


def call(client: ocore_audit.ApiClient, step: dict[str, Any], arguments: dict[str, Any], body: Any) -> Answer:
    operation = step["call"]
    api = ocore_audit.AdminApi(client) if "Admin" in operation else ocore_audit.AuditApi(client)
    given = {RENAMED.get(name, name.lower().replace("-", "_")): value for name, value in arguments.items()}
    if operation in BODIES:
        name, model = BODIES[operation]
        given[name] = model.from_dict(body)
    if "contentType" in step:
        given["_content_type"] = step["contentType"]
    method = re.sub(r"[A-Z]", lambda letter: "_" + letter.group().lower(), operation)
    if given.get("format") == "csv":
        return export_csv(client, api, given)
    got = getattr(api, method + "_with_http_info")(**given)
    return Answer(got.status_code, got.headers, events(got.data) if isinstance(got.data, str) else plain(got.data))


def events(text: str) -> Any:
    """A tail's entries as the items of an object, and its end as a member."""
    parsed = [dict(line.split(": ", 1) for line in event.split("\n")) for event in text.split("\n\n") if "data: " in event]
    data = [(event["event"], json.loads(event["data"])) for event in parsed]
    return {"items": [value for kind, value in data if kind == "entry"], "end": dict(data).get("end")}


def export_csv(client: ocore_audit.ApiClient, api: Any, given: dict[str, Any]) -> Answer:
    """The generator types one media type of an answer, JSON. The other is read from the raw
    answer, which also streams; that one raises nothing, so a problem is made here as the
    generated code makes it."""
    raw = api.export_audit_logs_without_preload_content(**given)
    if raw.status != 200:
        body = raw.data.decode()
        raise ApiException.from_response(
            http_resp=raw, body=body, data=client.deserialize(body, "Problem", raw.headers["content-type"])
        )
    lines = list(csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline=""), strict=True))
    return Answer(raw.status, raw.headers, {"header": list(lines[0]), "rows": lines})


def walk(client: ocore_audit.ApiClient, step: dict[str, Any], arguments: dict[str, Any], first: Answer) -> None:
    member = "logs" if "logs" in first.value else "items"
    page, entries = first.value, first.value[member]
    while "nextCursor" in page:
        page = call(client, step, {**arguments, "cursor": page["nextCursor"]}, None).value
        entries += page[member]
        if len(entries) > 1000:
            raise Failure("the walk", "endless", "finite")


def hold(expect: dict[str, Any], got: Answer, saved: dict[str, Any]) -> None:
    if (got.status, got.problem) != (expect["status"], expect.get("problem")):
        raise Failure("the outcome", (got.status, got.problem, got.value), (expect["status"], expect.get("problem")))
    for name, wanted in expect.get("headers", {}).items():
        found = got.headers.get(name)
        if found is None if wanted == "*" else found != wanted:
            raise Failure(name, found, wanted)
    for pointer, wanted in expect.get("equal", {}).items():
        wanted = expand(wanted, saved)
        if not same(at(got.value, pointer), wanted):
            raise Failure(pointer, at(got.value, pointer), wanted)
    for pointer in expect.get("present", []):
        if at(got.value, pointer) is None:
            raise Failure(pointer, None, "anything")
    for pointer, wanted in expect.get("length", {}).items():
        found = at(got.value, pointer)
        if not isinstance(found, list) or len(found) != wanted:
            raise Failure(pointer, found, f"{wanted} elements")
    if "ids" in expect:
        entries = next(list_ for member in ("items", "logs", "rows") if (list_ := at(got.value, "/" + member)) is not None)
        wanted, found = expand(expect["ids"], saved), [entry["id"] for entry in entries]
        if found != wanted:
            raise Failure("the ids", found, wanted)
    for pointer, wanted in expect.get("instant", {}).items():
        found, wanted = at(got.value, pointer), expand(wanted, saved)
        if datetime.fromisoformat(found) != datetime.fromisoformat(wanted):
            raise Failure(pointer, found, wanted)
    for name, pointer in expect.get("save", {}).items():
        saved[name] = at(got.value, pointer)


def at(value: Any, pointer: str) -> Any:
    for part in pointer[1:].split("/"):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def same(a: Any, b: Any) -> bool:
    """Equality that tells true from 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def expand(value: Any, saved: dict[str, Any]) -> Any:
    """Puts in what was saved. A text that is one variable takes its value's type."""
    if isinstance(value, dict):
        return {key: expand(member, saved) for key, member in value.items()}
    if isinstance(value, list):
        return [expand(element, saved) for element in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\$\{(\w+)\}", value):
        if saved.get(whole[1]) is None:
            raise KeyError(f"nothing was saved as {whole[1]}")
        return saved[whole[1]]
    value = re.sub(r"\$\{x\*(\d+)\}", lambda many: "x" * int(many[1]), value)
    return re.sub(r"\$\{(\w+)\}", lambda name: str(saved[name[1]]), value)


def plain(model: Any) -> Any:
    return json.loads(model.to_json())


if __name__ == "__main__":
    sys.exit(main())
