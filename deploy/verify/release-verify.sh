#!/bin/sh
# Verifies a release of Weir offline: release-verify.sh PUBLIC_KEY.pem ATTESTATION.intoto.dsse.json
#
# The attestation must be signed with the key, it must name the archive of its own name, and every file that it names must
# lie beside it and be the one that it names. Which commit it is of is printed: hold that against what was announced.
# Needs openssl (3.0 or newer), jq, base64 and sha256sum.
set -eu
LC_ALL=C
export LC_ALL
unset CDPATH

[ $# -eq 2 ] || { echo "usage: $0 PUBLIC_KEY.pem ATTESTATION.intoto.dsse.json" >&2; exit 2; }
key=$1
attestation=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

type=$(jq --raw-output .payloadType "$attestation")
jq --raw-output .payload "$attestation" | base64 --decode > "$place/payload"
jq --raw-output '.signatures[0].sig' "$attestation" | base64 --decode > "$place/signature"
# What is signed, by DSSE: type and payload, each behind its length.
{ printf 'DSSEv1 %s %s %s ' "${#type}" "$type" "$(wc -c < "$place/payload")"; cat "$place/payload"; } > "$place/signed"
if ! openssl pkeyutl -verify -rawin -pubin -inkey "$key" -in "$place/signed" -sigfile "$place/signature" \
    > "$place/said" 2>&1; then
    echo "the attestation is not signed with this key" >&2
    exit 1
fi
[ "$type" = application/vnd.in-toto+json ] || { echo "what is signed is no attestation: $type" >&2; exit 1; }
jq --exit-status '._type == "https://in-toto.io/Statement/v1" and .predicateType == "https://slsa.dev/provenance/v1"' \
    "$place/payload" > "$place/said" || { echo "what is signed says nothing of a build" >&2; exit 1; }
echo "the signature is of this key"

# A name that led elsewhere would have another file looked at.
jq --exit-status '.subject | length > 0 and all((.name | test("\\A[A-Za-z0-9][A-Za-z0-9._-]*\\z"))
    and (.digest.sha256 | test("\\A[0-9a-f]{64}\\z")))' "$place/payload" \
    > "$place/said" || { echo "the attestation names no files, or such as lie elsewhere" >&2; exit 1; }
# An old attestation under a new name would vouch for the old archive, and not for the one that is installed.
archive=$(basename -- "$attestation" .intoto.dsse.json).tar.gz
jq --exit-status --arg archive "$archive" '.subject | any(.name == $archive)' "$place/payload" > "$place/said" ||
    { echo "the attestation is not of $archive" >&2; exit 1; }
jq --raw-output '.subject[] | "\(.digest.sha256)  \(.name)"' "$place/payload" > "$place/sums"
(cd -- "$(dirname -- "$attestation")" && sha256sum --check --strict "$place/sums")
jq --raw-output '.predicate.buildDefinition
    | "built from commit \(.externalParameters.commit) with \(.internalParameters.compilers | map(split("\n")[0]) | join(" and ")); \(
      .internalParameters.builds_alike | if . > 1 then "\(.) builds were the same" else "built once" end)"' "$place/payload"
