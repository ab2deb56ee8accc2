"""A second verifier of trails, written from docs/format.md alone.

    verify.py entry FILE --keys KEYS
    verify.py export FILE --keys KEYS
    verify.py checkpoint OLDER NEWER CONSISTENCY --keys KEYS

KEYS is a file of verifier keys, one a line. Exit codes: 0 verified, 5 refused, 2 wrong usage.
It needs Python 3.9 and the package cryptography, for Ed25519 alone, and reads whole
files; for large exports there is `ocore-audit verify`.
"""

import base64
import hashlib
import hmac
import json
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception):
    """What was given isn't in the format, or isn't what it claims to be."""


def need(holds, reason):
    if not holds:
        raise Refused(reason)


# One form of everything.

MOST = 2**63 - 1


def number(text):
    need(re.fullmatch("0|[1-9][0-9]{0,18}", text, re.ASCII) and int(text) <= MOST, f"{text!r} is not a number in its one form")
    return int(text)


def base64_bytes(text, length):
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused(f"{text!r} is no base64: {error}") from error
    need(base64.b64encode(decoded).decode() == text, f"{text!r} is not base64 in its one form")
    need(length is None or len(decoded) == length, f"{text!r} has {len(decoded)} bytes")
    return decoded


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def salt_bytes(text):
    need(re.fullmatch("[A-Za-z0-9_-]{22}", text, re.ASCII), f"{text!r} is no salt")
    salt = base64.urlsafe_b64decode(text + "==")
    need(base64url(salt) == text, f"{text!r} is not a salt in its one form")
    return salt


# JSON, as text. Values are cut out of it, and never written anew.


def once(pairs):
    members = dict(pairs)
    need(len(members) == len(pairs), "a member stands twice")
    return members


def no_constant(name):
    raise Refused(f"{name} is not JSON")


# Strings stay what they are; numbers are never looked at.
DECODER = json.JSONDecoder(object_pairs_hook=once, parse_int=str, parse_float=str, parse_constant=no_constant)
TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\n\r]+')


def compact(data):
    """The text of a JSON object without white space between its tokens."""
    try:
        text = data.decode("utf-8")
        parsed = DECODER.decode(text)
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")  # fails on half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from error
    need(isinstance(parsed, dict), "not a JSON object")
    return TOKEN.sub(lambda token: token.group(1) or "", text)


def value_at(text, at):
    _, end = DECODER.raw_decode(text, at)
    return text[at:end], end


def members(text):
    """The members of a compact object: name, name as it is written, value as it is written."""
    need(text.startswith("{"), f"{text[:40]} is not an object")
    found, at = [], 1
    while text[at] != "}":
        at += text[at] == ","
        key, at = value_at(text, at)
        value, at = value_at(text, at + 1)  # a colon stands between
        found.append((json.loads(key), key, value))
    return found


def items(text):
    need(text.startswith("["), f"{text[:40]} is not an array")
    found, at = [], 1
    while text[at] != "]":
        at += text[at] == ","
        value, at = value_at(text, at)
        found.append(value)
    return found


def fields(text, *names, ordered=False):
    """The values of an object that has exactly these members."""
    found = members(text)
    have = [name for name, _, _ in found]
    need(sorted(have) == sorted(names), f"the members are {have}, not {list(names)}")
    need(not ordered or have == list(names), f"the members stand in another order than {list(names)}")
    values = {name: value for name, _, value in found}
    return [values[name] for name in names]


def string(text):
    need(text.startswith('"'), f"{text[:40]} is not a string")
    return json.loads(text)


# The tree.


def leaf_hash(leaf):
    return hashlib.sha256(b"\x00" + leaf).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def hashes(text):
    return [base64_bytes(string(item), 32) for item in items(text)]


# The leaf.

PLAIN = ["id", "action", "resourceType", "occurredAt", "importedAt"]
COMMITTED = [
    "userId", "userName", "recordedBy", "resourceId", "resourceName", "ipAddress", "userAgent",
    "beforeState", "afterState", "details",
]  # fmt: skip
ADMIN_PLAIN = ["id", "action", "importedAt"]
ADMIN_COMMITTED = ["userId", "userName", "recordedBy", "ipAddress", "userAgent", "details"]
GIVEN = re.compile(r'"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)"', re.ASCII)


def position_of(entry):
    found = members(entry)
    need([name for name, _, _ in found[-2:]] == ["position", "createdAt"], "an entry doesn't end with position and createdAt")
    return number(found[-2][2])


def entry_hash(organization, entry, salts):
    """The leaf hash of an entry, which is compact."""
    *own, _, (_, _, created_at) = members(entry)
    need(GIVEN.fullmatch(created_at), f"createdAt is {created_at}")
    admin = organization == "_admin"
    plain, committed = (ADMIN_PLAIN, ADMIN_COMMITTED) if admin else (PLAIN, COMMITTED)
    salt = {name: salt_bytes(string(value)) for name, _, value in members(salts)}
    leaf = {"v": ('"v"', "1"), "organization": ('"organization"', json.dumps(organization)), "createdAt": ('"createdAt"', created_at)}
    hidden, others = [], []
    for name, key, value in own:
        if name in plain:
            leaf[name] = (key, value)
        elif name in committed:
            hidden.append((name, key, value))
        else:
            others.append(f"{key}:{value}")
    if others:
        hidden.append(("otherMembers", '"otherMembers"', "{" + ",".join(others) + "}"))
    need(sorted(salt) == sorted(name for name, _, _ in hidden), "the salts are not those of the entry's members")
    for name, key, value in hidden:
        code = hmac.new(salt[name], name.encode() + b"\x00" + value.encode(), hashlib.sha256).digest()
        leaf[name] = (key, f'"{base64url(code)}"')
    return leaf_hash(("{" + ",".join(f"{key}:{value}" for _, (key, value) in sorted(leaf.items())) + "}").encode())


# Keys and checkpoints.


def read_keys(text):
    """Verifier keys by name and key id."""
    keys = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        need(line.count("+") >= 2, f"{line} is no verifier key")
        name, key_id, key = line.split("+", 2)
        raw = base64_bytes(key, 33)
        need(raw[0] == 1, f"{line} is no Ed25519 key")
        need(hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id, f"{line} has another key id")
        keys[name, key_id] = Ed25519PublicKey.from_public_bytes(raw[1:])
    return keys


class Checkpoint:
    def __init__(self, note, keys):
        need(not re.search("[\x00-\x09\x0b-\x1f]", note), "a control character stands in the checkpoint")
        need("\n\n" in note and note.endswith("\n"), "the checkpoint is no signed note")
        text, signatures = note.rsplit("\n\n", 1)
        text += "\n"
        signers, seen = set(), set()
        for line in signatures.splitlines():
            match = re.fullmatch("— ([^ +]+) ([^ ]+)", line)
            need(match, "a signature line has another form")
            name, signature = match[1], base64_bytes(match[2], None)
            need(len(signature) > 4, "a signature is too short")
            key_id = signature[:4].hex()
            need((name, key_id) not in seen, "two signatures are by one key")
            seen.add((name, key_id))
            if (name, key_id) not in keys:
                continue
            try:
                keys[name, key_id].verify(signature[4:], text.encode())
            except InvalidSignature as error:
                raise Refused(f"the signature by {name}+{key_id} is wrong") from error
            signers.add(name)
        lines = text.split("\n")
        need(len(lines) == 4, "a checkpoint has three lines")
        self.origin, self.size, self.root = lines[0], number(lines[1]), base64_bytes(lines[2], 32)
        need(self.origin in signers, f"the checkpoint is signed by {signers or 'no key that is trusted'}, and is one of {self.origin}")
        need("/" in self.origin[1:], "the origin has no organization")
        self.organization = self.origin.rsplit("/", 1)[1]
        need(re.fullmatch("_admin|[A-Za-z0-9.~-]{1,64}", self.organization, re.ASCII), f"{self.organization!r} is no organization")
        need(self.size or self.root == hashlib.sha256().digest(), "no entries have another root")


# The three files.


def verify_entry(data, keys):
    entry, salts, proof = fields(compact(data), "entry", "salts", "proof")
    first, rest = string(proof).split("\n", 1) if "\n" in string(proof) else ("", "")
    need(first == "c2sp.org/tlog-proof@v1" and "\n\n" in rest, "not a tlog-proof")
    head, note = rest.split("\n\n", 1)
    index, *path = head.split("\n")
    need(index.startswith("index "), "there is no index")
    index, path = number(index[len("index ") :]), [base64_bytes(line, 32) for line in path]
    checkpoint = Checkpoint(note, keys)
    need(index == position_of(entry), "the proof is that of another position")
    need(index < checkpoint.size, "the position is not in the tree")
    fn, sn, r = index, checkpoint.size - 1, entry_hash(checkpoint.organization, entry, salts)
    for p in path:
        need(sn, "the proof is too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and r == checkpoint.root, "the entry is not in the trail")
    return f"position {index} of {checkpoint.origin}"


def verify_export(data, keys):
    text = compact(data)
    have = [name for name, _, _ in members(text)]
    need(have and have[0] == "items", "items are not first")
    entries, total, proofs = fields(text, "items", "total", "proofs", *(["nextCursor"] if "nextCursor" in have else []))[:3]
    entries, before, roots, origins = items(entries), MOST + 1, {}, set()
    need(entries, "there are no entries, so nothing is proven")
    need(number(total) >= len(entries), "the total is less than the entries")
    count = len(entries)
    for bundle in items(proofs):
        covered, note, salts, others = fields(bundle, "items", "checkpoint", "salts", "hashes", ordered=True)
        checkpoint, covered, salts, others = Checkpoint(string(note), keys), number(covered), items(salts), hashes(others)
        origins.add(checkpoint.origin)
        need(len(origins) == 1, "the checkpoints are of several trails")
        need(roots.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root, "two roots of one size were signed")
        need(0 < covered <= len(entries) and covered == len(salts), "a bundle covers another number of entries than it says")
        known = {}
        for entry, salt in zip(entries[:covered], salts):
            position = position_of(entry)
            need(position < before, f"position {position} stands behind {before}")
            need(position < checkpoint.size, f"position {position} is not in the tree")
            known[position], before = entry_hash(checkpoint.organization, entry, salt), position
        entries = entries[covered:]
        need(root_of(sorted(known), known, 0, checkpoint.size, others) == checkpoint.root, "one of the entries is not in the trail")
        need(not others, "there are too many hashes")
    need(not entries, "the bundles don't cover all entries")
    return f"{count} entries of {origins.pop()}"


def root_of(positions, known, low, high, others):
    if not positions:
        need(others, "there are too few hashes")
        return others.pop(0)
    if high - low == 1:
        return known[low]
    middle = low + (1 << ((high - low - 1).bit_length() - 1))
    split = sum(1 for p in positions if p < middle)
    left = root_of(positions[:split], known, low, middle, others)
    return node(left, root_of(positions[split:], known, middle, high, others))


def verify_checkpoint(older, newer, consistency, keys):
    older, newer = Checkpoint(older.decode(), keys), Checkpoint(newer.decode(), keys)
    text, proven = compact(consistency), newer
    if "checkpoint" in [name for name, _, _ in members(text)]:
        start, end, path, note = fields(text, "from", "to", "hashes", "checkpoint")
        proven = Checkpoint(string(note), keys)
    else:
        start, end, path = fields(text, "from", "to", "hashes")
    start, end, path = number(start), number(end), hashes(path)
    need(older.origin == newer.origin == proven.origin, "the checkpoints are of several trails")
    need(start == older.size and end == newer.size == proven.size, "the proof is one of other sizes")
    need(proven.root == newer.root, "two roots of one size were signed")
    need(start <= end, "the trail shrank")
    if start == end:
        need(not path and older.root == newer.root, "two roots of one size were signed")
    elif start == 0:
        need(not path, "the proof is too long")
    else:
        if start & (start - 1) == 0:
            path.insert(0, older.root)
        need(path, "the proof is too short")
        fn, sn = start - 1, end - 1
        while fn & 1:
            fn, sn = fn >> 1, sn >> 1
        fr = sr = path.pop(0)
        for c in path:
            need(sn, "the proof is too long")
            if fn & 1 or fn == sn:
                fr, sr = node(c, fr), node(c, sr)
                while not fn & 1 and fn:
                    fn, sn = fn >> 1, sn >> 1
            else:
                sr = node(sr, c)
            fn, sn = fn >> 1, sn >> 1
        need(fr == older.root and sr == newer.root and sn == 0, "the older trail is not the beginning of the newer one")
    return f"sizes {start} and {end} of {older.origin}"


def main(arguments):
    kinds = {"entry": (verify_entry, 1), "export": (verify_export, 1), "checkpoint": (verify_checkpoint, 3)}
    if len(arguments) < 4 or arguments[0] not in kinds or arguments[-2] != "--keys" or len(arguments) != kinds[arguments[0]][1] + 3:
        print(__doc__, file=sys.stderr)
        return 2
    verify, _ = kinds[arguments[0]]
    files = []
    for name in arguments[1:-2]:
        with open(name, "rb") as file:
            files.append(file.read())
    with open(arguments[-1], encoding="utf-8") as file:
        keys = file.read()
    try:
        print("verified:", verify(*files, read_keys(keys)))
    except (Refused, UnicodeDecodeError) as error:
        print("refused:", error, file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
