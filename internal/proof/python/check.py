"""Holds verify.py against the vectors, and against every alteration of them."""

import base64
import json
import pathlib
import sys

import verify

VECTORS = pathlib.Path(__file__).parents[3] / "docs" / "vectors"
PAIR = ("checkpoint-13.txt", "checkpoint-21.txt", "consistency.json")


def run(name, files, keys):
    if name in PAIR:
        return verify.verify_checkpoint(*(files[one] for one in PAIR), keys)
    return {"entry": verify.verify_entry, "export": verify.verify_export}[name.split(".")[0].split("-")[0]](files[name], keys)


def apply(edits, text):
    for edit in edits:
        find, put = edit["find"].encode("utf-8", "surrogatepass"), edit["put"].encode("utf-8", "surrogatepass")
        assert find in text, edit
        text = text.replace(find, put, 1) if find else text + put
    return text


def main():
    files = {path.name: path.read_bytes() for path in VECTORS.iterdir()}
    keys = verify.read_keys(files["keys.txt"].decode())
    failed, verified, refused = [], 0, 0
    for text in verify.items(verify.TOKEN.sub(lambda token: token.group(1) or "", files["leaves.json"].decode())):
        organization, entry, salts, leaf, expected = verify.fields(text, "organization", "entry", "salts", "leaf", "hash")
        got = verify.entry_hash(verify.string(organization), entry, salts)
        if got != base64.b64decode(verify.string(expected)) or got != verify.leaf_hash(verify.string(leaf).encode()):
            failed.append(f"leaf of {entry}")
        verified += 1
    for name in sorted(files):
        if name in ("checkpoint-13.txt", "checkpoint-21.txt") or not name.startswith(("entry", "export", "consistency")):
            continue
        try:
            print(name + ":", run(name, files, keys))
            verified += 1
        except verify.Refused as error:
            failed.append(f"{name}: {error}")
    verify.verify_entry(files["entry-rotated.json"], verify.read_keys(files["keys-next.txt"].decode()))
    for alteration in json.loads(files["alterations.json"]):
        name = alteration["of"]
        altered = {**files, name: apply(alteration["edits"], files[name])}
        assert altered[name] != files[name], alteration
        try:
            failed.append(f"{name} verifies although {alteration['what']}: {run(name, altered, keys)}")
        except (verify.Refused, UnicodeDecodeError):
            refused += 1
    print(f"{verified} verified, {refused} altered ones refused")
    for reason in failed:
        print(reason, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
