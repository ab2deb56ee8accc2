"""What Schemathesis can't know of the service: who is calling, and what must hold beside the schemas.

Each @schemathesis.check is a promise of openapi.yaml's prose. To add one, write the
function: it runs after every answer, in every phase and for every caller. What the
document doesn't say is not checked here; say it there first.
"""

import copy
import csv
import io
import json
import os
import zlib
from collections import Counter, defaultdict
from urllib.parse import parse_qs, unquote, urlsplit

import requests
import schemathesis

import rules

CALLER = os.environ["FUZZ_CALLER"]
TOKEN = os.environ["FUZZ_TOKEN"]  # empty for nobody
LEAST = int(os.environ["FUZZ_LEAST"])  # cases that must be made up for each operation; a few of them prove nothing

EVERYTHING = {"view:audit_logs", "create:audit_logs", "view:admin_audit_logs", "create:admin_audit_logs", "manage:api_keys"}
PERMISSIONS, ORGANIZATIONS = {
    "everything": (EVERYTHING, {"acme"}),
    "several": (EVERYTHING, {"acme", "globex"}),
    "viewer": ({"view:audit_logs"}, {"acme"}),
    "emitter": ({"create:audit_logs"}, {"acme"}),
    "nobody": (set(), set()),
}[CALLER]

FREE = {"beforeState", "afterState", "details"}
ADMIN_MEMBERS = rules.ADMIN_TEXTS.keys() | rules.ADMIN_RESERVED | {"id"}
# Members that fit the schemas, on either side of a rule that they can't state.
RARE = [
    {"userName": "é" * 256}, {"userName": "é" * 257}, {"id": ".."}, {"occurredAt": "2016-12-31T23:59:60Z"},
    {"afterState": rules.nested(32)}, {"afterState": rules.nested(33)}, {"afterState": {"n": 10**63}},
    {"afterState": {"n": -(10**63)}}, {"afterState": {"big": "x" * rules.MAX_ENTRY}}, {"beforeState": {"": "\0"}},
]
BATCH = "/audit-logs/batch"
KEYS = "/api-keys"
PROOFS = ("/audit-logs/checkpoint", "/audit-logs/consistency", "/audit-logs/keys", "/admin/audit-logs/keys")
COLUMNS = {"action": "action", "resource_type": "resourceType", "resource_id": "resourceId", "user_id": "userId"}
TAIL = "/audit-logs/tail"
WAITS = {""} | {str(seconds) for seconds in range(1, 3601)}
OVERVIEWS = {"/audit-logs/histogram", "/audit-logs/facets", "/audit-logs/values"}
SPELLINGS = {4: "Application/JSON", 5: "application/json; charset=UTF-8", 6: 'application/json;charset="utf-8"', 7: "application/json ; x=1"}
HEAD_BYTES = 32 * 1024  # what the server reads of a request line and headers, at least

cursors = set()  # handed out by the service, so that made-up ones can be told from them
ended = set()  # cases of tails that were given an end
recorded = set()  # ids that are stored
keys = []  # ids of API keys that were made
session = requests.Session()


# What is sent


@schemathesis.hook
def before_call(context, case, kwargs):
    phase = case.meta.phase if case.meta else None
    if phase is None:
        return
    dice = zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode("utf-8", "replace"))
    if case.path.startswith(KEYS + "/") and keys and dice % 2 and "id" in (case.path_parameters or {}):
        case.path_parameters["id"] = keys[dice % len(keys)]  # the service's choice, so that nothing made up is one
    if isinstance(case.body, dict):
        case.body = copy.deepcopy(case.body)  # Schemathesis may draw it again
    if phase.name.value in ("examples", "coverage") and getattr(phase.data, "parameter", None) != "cursor":
        case.query.pop("cursor", None)  # the document's example, which is nobody's: a 400 that hides all else
    if case.path == TAIL and str(case.query.get("wait", "")).lstrip("0") in WAITS:
        case.query["wait"] = 0  # what there is: a stream without an end is none that can be checked
        ended.add(case.id)
    if phase.name.value != "examples" and dice % 4:
        leave_known_ids_out(case)
    if phase.name.value in ("fuzzing", "stateful"):  # the others say themselves what they try
        vary(case, dice)


def leave_known_ids_out(case):
    """With other content, as a rule, they are a 409."""
    body = case.body if isinstance(case.body, dict) else {}
    items = body.get("items") if case.path == BATCH else [body]
    for entry in items if isinstance(items, list) else []:
        if isinstance(entry, dict) and str(entry.get("id")) in recorded:
            del entry["id"]


def vary(case, dice):
    """Changes what must make no difference, and adds what Schemathesis hardly comes upon."""
    odd = {0: "application/xml", 1: "text/csv", 2: "image/png;q=0.1", 3: "nonsense"}.get(dice % 32)
    if odd and "Accept" not in case.headers:
        case.headers["Accept"] = odd
    if not case.meta.generation.mode.is_positive:
        return
    if "exclude_action" in (case.query or {}):  # made-up ones hardly exclude anything
        case.query["exclude_action"] = [["server.created"], ["auth.login", "no.such"], ["server.updated", "server.created"]][dice % 3]
    if case.method != "POST":
        return
    if dice % 16 in SPELLINGS:
        case.headers["Content-Type"] = SPELLINGS[dice % 16]
    if case.path == KEYS:
        return
    entries = case.body["items"] if case.path == BATCH else [case.body]
    if dice % 3 == 0:
        entries[0].update(RARE[dice // 3 % len(RARE)])
    elif dice % 3 == 1 and len(entries) > 1:
        entries[0]["id"] = entries[1]["id"] = f"twice-{dice}"


# What is no failure, each for one reason


@schemathesis.hook
def filter_failure(context, failure, case, response):
    name = type(failure).__name__
    if too_long(response):
        return name not in ("UndefinedStatusCode", "AcceptedNegativeData", "RejectedPositiveData", "MissingHeaders")
    if name == "RejectedPositiveData":
        return not rule_broken(case, response)
    if name == "AcceptedNegativeData":
        return not (only_emptied(case, response) or unknown_header(case) or few_without_empty(failure, response))
    if name == "JsonSchemaError" and case.path == TAIL and response.status_code == 200:
        return False  # the schema is of the text, as 3.0 has it, and is held against each event; check_tail reads them
    return True


def too_long(response):
    """The HTTP server itself refuses heads over its bound, before the service sees them: the one answer without a problem document."""
    request = response.request
    head = len(request.url) + sum(len(name) + len(value) + 4 for name, value in request.headers.items())
    return response.status_code == 431 and head > HEAD_BYTES


def only_emptied(case, response):
    """An empty parameter counts as not sent, so one that was emptied to break its schema breaks nothing."""
    data = case.meta.phase.data
    broken = {mutation.parameter for mutation in data.mutations} or {data.parameter}
    _, query = sent(response)
    return all(query.get(name) == "" or name == "wait" and case.id in ended for name in broken)


def few_without_empty(failure, response):
    """Of excluded values, too, the empty ones count as not sent: a list that is too long may be short enough without them."""
    query = parse_qs(urlsplit(response.request.url).query)  # leaves empty ones out
    return "maxItems" in failure.message and all(len(values) <= 10 for values in query.values())


def unknown_header(case):
    """A header that nobody documented is no fault: proxies add them."""
    data = case.meta.phase.data
    location = getattr(getattr(data, "parameter_location", None), "value", None)
    return location == "header" and getattr(data, "parameter", None) is None and "unexpected" in data.description


def rule_broken(case, response):
    """Whether a request that fits the schemas breaks a rule that they can't state, and was refused as that rule says."""
    path, query = sent(response)
    if response.status_code == 400:
        parameter = json.loads(response.content).get("parameter")
        if path.endswith(TAIL) and parameter in ("position", "Last-Event-ID"):
            return behind_the_end(response, query)
        if (parameter or "").startswith("exclude_"):
            return rules.excluded_too_much(response.request.url)
        if parameter == "cursor" and query.get("cursor"):
            return query["cursor"] not in cursors or len(query.keys() - {"cursor", "per_page", "limit"}) > 0
        if path.endswith("/audit-logs/consistency"):
            return parameter in ("from", "to") and not provable(response, query)
        return parameter in rules.query_faults(query) or "\0" in path or rules.repeated_ids(path, case.body)
    return response.status_code == 422 and (bool(rules.body_faults(path, case.body)) or too_many_keys(path, response))


def too_many_keys(path, response):
    """An organization has a bound of good keys, which a run comes to."""
    return path.endswith(KEYS) and "keys that are good" in json.loads(response.content).get("detail", "")


def provable(response, query):
    """Whether the trail has the sizes that a proof of consistency is asked for."""
    size = size_of(response)
    return int(query["from"]) <= int(query.get("to") or size) <= size


def size_of(response):
    """The size of the newest checkpoint of the trail that a call concerned."""
    answer = session.get(f"{os.environ['OCORE_AUDIT_URL']}/api/audit-logs/checkpoint", headers=who(response))
    assert answer.status_code == 200, answer.text
    return answer.json()["size"]


def who(response):
    return {n: v for n, v in response.request.headers.items() if n in ("Authorization", "X-Org-Slug")}


# What must hold


@schemathesis.check
def nobody_gets_more_or_less_than_the_token_says(ctx, response, case):
    if response.status_code in (404, 405, 431):
        return
    headers = response.request.headers
    if not TOKEN or headers.get("Authorization") != f"Bearer {TOKEN}":
        assert response.status_code == 401, "no trusted token, so this is a 401 whatever else is wrong"
        return
    permission = case.operation.definition.raw["x-required-permission"]
    allowed = permission in PERMISSIONS
    if allowed and not permission.endswith(":admin_audit_logs"):
        slug = headers.get("X-Org-Slug", "")
        slug = (slug.decode("latin-1") if isinstance(slug, bytes) else slug).strip(" \t")
        allowed = slug in ORGANIZATIONS if slug else len(ORGANIZATIONS) == 1
    assert allowed == (response.status_code not in (401, 403)), f"{CALLER} gets {response.status_code}"


@schemathesis.check
def refusals_are_problems(ctx, response, case):
    if response.status_code < 400 or too_long(response):
        return
    assert response.headers["content-type"] == ["application/problem+json"]
    problem = json.loads(response.content)
    assert [problem["requestId"]] == response.headers["x-request-id"]
    assert problem["status"] == response.status_code
    assert problem["type"].startswith("https://docs.ocore.dev/audit/problems/")
    assert problem.get("detail"), "a person is told what to do"
    for word in ("SQLSTATE", "pgx", "goroutine", "openapi3", "json:", "strconv", "echo"):
        assert word not in problem["detail"], "the text of a library"
    if response.status_code == 401:
        assert response.headers["www-authenticate"][0].startswith("Bearer")


@schemathesis.check
def rules_beside_the_schemas_are_kept(ctx, response, case):
    """The other side of rule_broken: what a rule forbids is never accepted, and refused as the rule says."""
    path, query = sent(response)
    if response.status_code < 300:
        assert not rules.query_faults(query), rules.query_faults(query)
        assert not query.get("cursor") or query["cursor"] in cursors, "the service never gave this cursor out"
    if case.method == "POST" and case.meta.generation.mode.is_positive and response.status_code not in (401, 403, 405, 415):
        expected = {422} if rules.body_faults(path, case.body) else set()
        expected |= {400} if rules.repeated_ids(path, case.body) else set()
        if response.status_code == 422 and too_many_keys(path, response):
            return
        assert response.status_code in (expected or {201, 409}), rules.body_faults(path, case.body)


@schemathesis.check
def unknown_and_repeated_parameters_are_refused(ctx, response, case):
    """Schemathesis itself lets a service ignore what it doesn't know. Here that would show the wrong evidence."""
    if response.status_code >= 300:
        return
    query = parse_qs(urlsplit(response.request.url).query, keep_blank_values=True)
    known = {parameter.name for parameter in case.operation.query}
    assert not query.keys() - known, query.keys() - known
    assert all(len(values) == 1 or name.startswith("exclude_") for name, values in query.items())
    assert all(len([value for value in values if value]) <= 10 for values in query.values())
    assert not rules.excluded_too_much(response.request.url)


@schemathesis.check
def absent_is_never_null(ctx, response, case):
    content_type = response.headers.get("content-type", [""])[0]
    if not content_type.startswith("application/") or "json" not in content_type:
        return
    body = json.loads(response.content)
    if response.status_code >= 400 or case.path == BATCH or (case.method == "GET" and "entries/" not in case.path):
        assert None not in body.values()
        entries = body.get("items", body.get("logs", []))
    elif "proof" in body:
        assert None not in (body | body["salts"]).values()
        entries = [body["entry"]]
    else:
        entries = [body]
    for entry in entries if case.path != "/audit-logs/values" else []:  # texts
        named = ADMIN_MEMBERS if "/admin/" in case.path else entry.keys()
        nulls = {name for name in entry.keys() & named - FREE if entry[name] is None}
        assert not nulls, nulls


@schemathesis.check
def reading_twice_gives_the_same(ctx, response, case):
    """One caller at a time runs against a service, so nothing is written in between."""
    if response.request.method != "GET" or response.status_code != 200:
        return
    again = session.send(response.request)
    assert (again.status_code, settled(again.content)) == (200, settled(response.content))
    for name in ("content-type", "link", "x-total-count", "x-truncated", "content-disposition"):
        assert [again.headers.get(name)] == response.headers.get(name, [None]), name


def settled(content):
    """An answer without what changes when the service signs: it may do so at any time."""
    if b'"checkpoint"' not in content and b'"proof"' not in content:
        return content
    answer = json.loads(content)
    for bundle in [answer, *answer.get("proofs", [])]:
        for member in ("checkpoint", "proof", "hashes", "signedAt", "size", "root"):
            bundle.pop(member, None)
    return answer


@schemathesis.check
def lists_show_exactly_what_matches(ctx, response, case):
    if response.status_code != 200 or "entries/" in case.path or case.path.startswith(KEYS) or case.path in {*PROOFS, *OVERVIEWS}:
        return
    path, query = sent(response)
    if case.path == TAIL:
        return check_tail(case, path, query, response)
    if response.headers["content-type"] != ["application/json"]:
        return check_csv(response)
    body = json.loads(response.content)
    items = body["logs"] if "logs" in body else body["items"]
    positions = [item["position"] for item in items]
    assert positions == sorted(set(positions), reverse=True), "newest first, none twice"
    if "nextCursor" in body:
        cursors.add(body["nextCursor"])
    assert ("nextCursor" in body) == ("link" in response.headers)
    if "nextCursor" in body:
        follow(response, body, positions)
    if query.get("cursor"):
        return  # its filter and what came before are the cursor's secret
    check_filters(case.path, path, query, items)
    size = int(query.get("per_page") or query.get("limit") or 0) or 20
    page = int(query.get("page") or 0) or 1
    if case.path == "/audit-logs/export":
        size, page = 10_000, 1
        assert response.headers.get("x-total-count") == [str(body["total"])]
        assert ("x-truncated" in response.headers) == (body["total"] > size)
    elif "items" in body:
        assert (body["page"], body["perPage"]) == (page, size)
    assert len(items) == min(size, max(0, body["total"] - (page - 1) * size)), "the page isn't full, or total is wrong"
    assert ("nextCursor" in body) == (page * size < body["total"])


def follow(response, body, positions):
    """The next page goes on right below this one, and counts as this one did; an export counts what is left."""
    target, relation = response.headers["link"][0].split("; ")
    assert relation == 'rel="next"'
    following = session.get(f"{os.environ['OCORE_AUDIT_URL']}{target.strip('<>')}", headers=who(response))
    assert following.status_code == 200, following.text
    rest = following.json()
    first = rest.get("logs", rest.get("items"))[0]["position"]
    assert first < positions[-1], "an entry stands on two pages"
    assert rest["total"] == body["total"] - (len(positions) if "/export?" in target else 0)


def check_tail(case, path, query, response):
    """Whole events, positions that ascend, and an end that says where to go on."""
    events = [dict(line.split(": ", 1) for line in event.split("\n")) for event in response.content.decode().split("\n\n")[1:-1]]
    assert [events[0]["event"], events[-1]["event"]] == ["at", "end"], events
    entries = [json.loads(event["data"]) for event in events if event["event"] == "entry"]
    assert [str(entry["position"]) for entry in entries] == [event["id"] for event in events if event["event"] == "entry"]
    ids = [int(event["id"]) for event in events if "id" in event]
    assert ids == sorted(ids)
    assert json.loads(events[-1]["data"]) == {"reason": "waited", "next": json.loads(events[0]["data"])["size"]}
    check_filters(case.path, path, query, entries)


def behind_the_end(response, query):
    """Whether a tail was to begin where its trail isn't yet."""
    headers = {n: v for n, v in response.request.headers.items() if n in ("Authorization", "X-Org-Slug")}
    total = session.get(f"{os.environ['OCORE_AUDIT_URL']}/api/audit-logs?per_page=1", headers=headers).json()["total"]
    last = response.request.headers.get("Last-Event-ID")
    return int(last) >= total if last else int(query["position"]) > total


@schemathesis.check
def overviews_agree_with_the_list(ctx, response, case):
    """A histogram's counts and a facet's total are the total of the list with the same filters."""
    if response.status_code != 200 or case.path not in OVERVIEWS - {"/audit-logs/values"}:
        return
    body = json.loads(response.content)
    url = urlsplit(response.request.url)
    kept = [pair for pair in url.query.split("&") if pair.split("=")[0] not in ("buckets", "field", "")]
    headers = {n: v for n, v in response.request.headers.items() if n in ("Authorization", "X-Org-Slug")}
    listed = session.get(url._replace(path="/api/audit-logs", query="&".join(kept)).geturl(), headers=headers)
    assert listed.status_code == 200, listed.text
    assert body["total"] == listed.json()["total"]
    if "of" in body:
        assert body["exact"] == (body["of"] == body["total"]) and body["of"] == min(body["total"], 10_000)
        counts = [(-item["count"], item["value"].encode()) for item in body["items"]]
        assert counts == sorted(counts) and len(counts) == min(20, body["distinct"])
    else:
        assert sum(item["count"] for item in body["items"]) == body["total"]
        assert len({item["start"] for item in body["items"]}) == len(body["items"])


def check_filters(template, path, query, items):
    for parameter, member in COLUMNS.items():
        if query.get(parameter):
            assert {item.get(member) for item in items} <= {query[parameter]}, parameter
        assert not query.get("exclude_" + parameter) or query["exclude_" + parameter] not in {item.get(member) for item in items}
    if "/resource/" in template:
        kind, resource = path.split("/")[-2:]
        assert all((item["resourceType"], item.get("resourceId")) == (unquote(kind), unquote(resource)) for item in items)
    times = [rules.instant(item["createdAt"]) for item in items]
    assert not query.get("start_date") or all(t >= rules.instant(query["start_date"]) for t in times)
    assert not query.get("end_date") or all(t <= rules.instant(query["end_date"]) for t in times)


def check_csv(response):
    header, *rows = csv.reader(io.StringIO(response.content.decode(), newline=""))
    assert header[:12] == sorted(header[:12]) and header[12] == "position", header
    assert all(len(row) == len(header) for row in rows)
    assert len(rows) == min(10_000, int(response.headers["x-total-count"][0]))


@schemathesis.check
def what_was_recorded_is_there_and_stays(ctx, response, case):
    """A 201 is read back and sent again: the same bytes both times, and nothing new."""
    if response.status_code != 201:
        return
    stored, sent_body = json.loads(response.content), case.body
    if case.path == KEYS:
        keys.append(stored["id"])
        assert (stored["name"], sorted(stored["permissions"])) == (sent_body["name"], sorted(sent_body["permissions"]))
        return
    recorded.update(entry["id"] for entry in (stored["items"] if case.path == BATCH else [stored]))
    if case.path == BATCH:
        again = resend(response, {"items": [{**e, "id": r["id"]} for e, r in zip(sent_body["items"], stored["items"], strict=True)]})
        assert json.loads(again.content)["items"] == [{**receipt, "existing": True} for receipt in stored["items"]]
        return
    for name, value in sent_body.items():
        if name == "occurredAt" and case.path == "/audit-logs":  # in an admin entry it is a member of the author's own
            assert rules.instant(stored[name]) == rules.instant(value) // 1000 * 1000
        else:
            assert stored[name] == value, name
    assert resend(response, {**sent_body, "id": stored["id"]}).content == response.content
    if case.path == "/audit-logs" and "view:audit_logs" in PERMISSIONS:
        read = session.get(f"{urlsplit(response.request.url)._replace(query='').geturl()}/entries/{stored['id']}", headers=who(response))
        assert response.content == read.content[:-1] + b',"leafHash":"%s"}' % stored["leafHash"].encode()


@schemathesis.check
def proofs_hold_what_reading_shows(ctx, response, case):
    """Whether they verify is shown by the tests of the service and of the verifiers; here, that they are of this and all of this."""
    if response.status_code != 200 or response.headers["content-type"] != ["application/json"]:
        return
    body, (path, query) = json.loads(response.content), sent(response)
    if case.path == "/admin/audit-logs/entries/{id}/proof":  # admin entries aren't read one by one
        assert unquote(path).endswith(f'/{body["entry"]["id"]}/proof')
    elif case.path.endswith("/proof"):
        read = session.get(response.request.url.removesuffix("/proof"), headers=who(response))
        assert response.content.startswith(b'{"entry":' + read.content + b',"salts":{')
    elif case.path == "/audit-logs/export":
        assert ("proofs" in body) == (query.get("with_proof") == "true")
        bundles = body.get("proofs", [])
        assert "proofs" not in body or sum(b["items"] for b in bundles) == sum(len(b["salts"]) for b in bundles) == len(body["items"])
    elif case.path == "/audit-logs/consistency":
        assert body["from"] == int(query["from"]) and body["to"] == int(query.get("to") or body["to"])
        assert query.get("to") or "checkpoint" in body


@schemathesis.check
def other_organizations_learn_nothing(ctx, response, case):
    """What globex gets for an entry of acme's is what it gets for an id that nobody has."""
    if CALLER != "everything" or response.status_code != 200 or not case.path.startswith("/audit-logs/entries/"):
        return
    theirs, nobodys = (
        session.get(url, headers={"Authorization": f"Bearer {os.environ['TOKEN_OTHER']}", "X-Request-Id": "same"})
        for url in (response.request.url, f"{os.environ['OCORE_AUDIT_URL']}/api/audit-logs/entries/nobody-has-this")
    )
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)


def resend(response, body):
    again = session.post(response.request.url, json=body, headers=who(response))
    assert (again.status_code, again.headers.get("Idempotency-Replayed")) == (201, "true"), again.text
    return again


@schemathesis.check
class EveryOperationIsReached:
    """Counts the cases of each operation, and fails where there were too few, or where no
    request succeeded although the caller may: such a run would have tested nothing."""

    def __init__(self):
        self.fuzzed = defaultdict(set)  # cases that were made up, of all that there were
        self.answers = defaultdict(Counter)
        self.permissions = {}
        self.least = {}

    def after_response(self, ctx, response, case):
        label = case.operation.label
        self.permissions[label] = case.operation.definition.raw["x-required-permission"]
        self.answers[label][response.status_code] += 1
        raw = case.operation.definition.raw
        self.least[label] = LEAST if raw.get("parameters") or "requestBody" in raw else min(LEAST, 1)  # there is but one request
        if case.meta.phase.name.value == "fuzzing":
            self.fuzzed[label].add(case.id)

    def after_run(self, ctx):
        lacking = []
        for label, statuses in sorted(self.answers.items()):
            fuzzed = len(self.fuzzed[label])
            print(f"\n{CALLER}: {label}: {statuses.total()} cases, {fuzzed} of them fuzzed, answered {dict(sorted(statuses.items()))}", end="")
            if fuzzed < self.least[label]:
                lacking.append(f"{label} had {fuzzed} fuzzed cases of {self.least[label]}")
            if LEAST >= 20 and self.permissions[label] in PERMISSIONS and not {200, 201} & statuses.keys():
                lacking.append(f"{label} never succeeded")
        print()
        assert not lacking, "; ".join(lacking)


def sent(response):
    """The path and the query as they went over the wire. What stands twice is refused, so one value is enough."""
    url = urlsplit(response.request.url)
    query = parse_qs(url.query, keep_blank_values=True, errors="replace")
    return url.path, {name: values[-1] for name, values in query.items()}
