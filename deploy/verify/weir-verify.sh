#!/bin/sh
# Verifies what `weir audit prove`, `weir evidence-pack` and `weir share` made, without Weir: with openssl, jq and sha256sum.
#
#   weir-verify.sh proof PROOF.json KEYS    KEYS: the auditor's directory (audit-N.pub, sign.pub), from somebody you trust
#   weir-verify.sh pack DIRECTORY KEYS      DIRECTORY: the unpacked ZIP
#   weir-verify.sh lines BUNDLES.jsonl KEYS what `weir share` wrote
#
# It exits with 0 where all holds, and says what does not otherwise. Read it: it is short, so that you need not believe it.
set -eu
LC_ALL=C
export LC_ALL

fail() { echo "NOT TO BE BELIEVED: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Bytes of hex digits.
unhex() {
    rest=$1
    while [ -n "$rest" ]; do
        more=${rest#??}
        printf "\\$(printf '%03o' "0x${rest%"$more"}")"
        rest=$more
    done
}
unbase64() { printf '%s' "$1" | openssl base64 -d -A; }
base64() { openssl base64 -A; }
hash64() { openssl dgst -sha256 -binary | base64; }
# A number in 8 bytes, big-endian.
u64() { unhex "$(printf '%016x' "$1")"; }
# is_number TEXT: fails unless it is one. A shell computes with more than numbers, and would do what a file says.
is_number() { case $1 in '' | *[!0-9]* | 0?* | ????????????????*) fail "\"$1\" is no number of a record" ;; esac; }
# How many bytes a text in base64 stands for.
length64() {
    stripped=${1%=}
    stripped=${stripped%=}
    echo $((${#stripped} * 3 / 4))
}
# A part after its length: of a text, of bytes in base64.
text_part() { u64 "${#1}"; printf '%s' "$1"; }
base64_part() { u64 "$(length64 "$1")"; unbase64 "$1"; }

# The public key of 64 hex digits in a file, as openssl reads it.
public_key() {
    hex=
    read -r hex <"$1" || [ -n "$hex" ] || fail "there is no key in $1"
    { printf '%s\n' '-----BEGIN PUBLIC KEY-----'; unhex "302a300506032b6570032100$hex" | base64
      printf '\n%s\n' '-----END PUBLIC KEY-----'; } >"$work/key.pem"
}
# verifies MESSAGE_FILE SIGNATURE_BASE64 PUB_FILE
verifies() {
    public_key "$3"
    unbase64 "$2" >"$work/signature"
    openssl pkeyutl -verify -pubin -inkey "$work/key.pem" -rawin -in "$1" -sigfile "$work/signature" >/dev/null 2>&1
}

# note FILE SIGNATURE_BASE64 SIGN_PUB: checks a checkpoint; its lines are then in origin, size and root.
note() {
    { read -r origin && read -r size && read -r root && read -r empty && read -r _ name signed; } <"$1" ||
        fail "the checkpoint is cut short"
    is_number "$size"
    [ -z "$empty" ] && [ "$name" = "$origin" ] || fail "the checkpoint is no signed note"
    printf '%s\n%s\n%s\n' "$origin" "$size" "$root" >"$work/text"
    verifies "$work/text" "$2" "$3" || fail "the checkpoint is not what the operator's key signed"
    # How a note names its key: the first 4 bytes of a hash over the log's name and the key.
    key_hash=$({ printf '%s\n\001' "$origin"; unhex "$hex"; } | sha256sum)
    key_hash=${key_hash%"${key_hash#????????}"}
    [ "$signed" = "$({ unhex "$key_hash"; unbase64 "$2"; } | base64)" ] || fail "another key signed the checkpoint"
}

# Hash of two nodes, each in base64.
node() { { printf '\001'; unbase64 "$1"; unbase64 "$2"; } | hash64; }

proof() {
    file=$1 keys=$2
    [ "$(jq -r .format "$file")" = weir.audit.proof/1 ] || fail "$file is no proof of an audit record"
    jq -j .checkpoint "$file" >"$work/checkpoint"
    note "$work/checkpoint" "$(jq -r .checkpoint_signature "$file")" "$keys/sign.pub"
    writer=$(jq -r .writer "$file")
    [ "$origin" = "weir/$writer" ] || fail "the checkpoint is of $origin, and the records of weir/$writer"
    count=$(jq '.records | length' "$file")
    [ "$count" -gt 0 ] || fail "there is no record"
    number=0
    while [ "$number" -lt "$count" ]; do
        record() { jq -r ".records[$number].$1" "$file"; }
        sequence=$(record sequence) key_id=$(record key_id)
        is_number "$sequence"
        case $key_id in */* | '') fail "$key_id is no key" ;; esac
        message() {
            text_part weir.audit.entry; text_part "$writer"; u64 8; u64 "$sequence"; base64_part "$(record previous)"
            text_part "$key_id"; base64_part "$(record record)"
        }
        message >"$work/message"
        signature=$(record signature)
        verifies "$work/message" "$signature" "$keys/$key_id.pub" || fail "record $sequence is not what $key_id signed"
        hash=$({ printf '\000'; message; base64_part "$signature"; } | hash64)
        # RFC 9162, 2.1.3.2
        at=$((sequence - 1)) last=$((size - 1))
        [ "$at" -ge 0 ] && [ "$at" -le "$last" ] || fail "record $sequence is beyond the checkpoint"
        for other in $(jq -r ".records[$number].path[]" "$file"); do
            [ "$last" -gt 0 ] || fail "the way of record $sequence is too long"
            if [ $((at & 1)) -eq 1 ] || [ "$at" -eq "$last" ]; then
                hash=$(node "$other" "$hash")
                while [ $((at & 1)) -eq 0 ] && [ "$at" -ne 0 ]; do at=$((at >> 1)) last=$((last >> 1)); done
            else
                hash=$(node "$hash" "$other")
            fi
            at=$((at >> 1)) last=$((last >> 1))
        done
        [ "$last" -eq 0 ] && [ "$hash" = "$root" ] || fail "record $sequence is not in the tree of the checkpoint"
        echo "record $sequence of $writer: signed by $key_id, and in the tree of $size that the operator signed"
        number=$((number + 1))
    done
}

# envelope TYPE PAYLOAD_BASE64 SIGNATURE_BASE64 KEYS: checks a DSSE envelope of the operator's.
envelope() {
    { printf 'DSSEv1 %s %s %s ' "${#1}" "$1" "$(length64 "$2")"; unbase64 "$2"; } >"$work/message"
    verifies "$work/message" "$3" "$4/sign.pub"
}

lines() {
    number=0
    while read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        printf '%s' "$line" >"$work/line"
        type=$(jq -r .payloadType "$work/line")
        [ "$type" = application/vnd.weir.ioc+json ] || fail "line $number is of another type"
        envelope "$type" "$(jq -r .payload "$work/line")" "$(jq -r '.signatures[0].sig' "$work/line")" "$2" ||
            fail "line $number is not what the operator's key signed"
    done <"$1"
    [ "$number" -gt 0 ] || fail "there is no line"
    echo "$number lines, each signed by the operator"
}

# Every file below a directory, by its name from there.
walk() {
    for found in "$1"/* "$1"/.[!.]*; do
        if [ -d "$found" ]; then walk "$found"; elif [ -e "$found" ]; then printf '%s\n' "${found#"$directory"/}"; fi
    done
}

pack() {
    directory=$1 keys=$2
    read -r signature <"$directory/manifest.sig" || fail "manifest.sig is missing"
    verifies "$directory/manifest.json" "$signature" "$keys/sign.pub" || fail "the manifest is not what the operator's key signed"
    jq -r '.files | to_entries[] | "\(.value)  \(.key)"' "$directory/manifest.json" >"$work/sums"
    (cd "$directory" && sha256sum --check --quiet --strict "$work/sums") || fail "a file is not the one of the manifest"
    walk "$directory" | jq -R . | jq -s 'sort - ["manifest.json", "manifest.sig"]' >"$work/there"
    jq '.files | keys' "$directory/manifest.json" | jq -s --slurpfile there "$work/there" '.[0] == $there[0]' >"$work/same"
    read -r same <"$work/same"
    [ "$same" = true ] || fail "there is a file that the manifest does not have"

    evidence=$directory/evidence.json
    certificates=$(jq '.certificates | length' "$evidence") number=1 previous=$(printf '%064d' 0)
    [ "$certificates" -gt 0 ] || fail "there is no certificate"
    while [ "$number" -le "$certificates" ]; do
        file=$directory/certificates/certificate_$number.json
        type=$(jq -r .payloadType "$file") payload=$(jq -r .payload "$file")
        [ "$type" = application/vnd.weir.certificate+json ] || fail "certificate $number is of another type"
        envelope "$type" "$payload" "$(jq -r '.signatures[0].sig' "$file")" "$keys" ||
            fail "certificate $number is not what the operator's key signed"
        unbase64 "$payload" >"$work/certificate"
        [ "$(jq -cS . "$work/certificate")" = "$(jq -cS ".certificates[$number - 1]" "$evidence")" ] ||
            fail "certificate $number is not the one of evidence.json"
        [ "$(jq -r .previous_certificate_sha256 "$work/certificate")" = "$previous" ] ||
            fail "certificate $number does not continue the one before"
        previous=$(sha256sum <"$work/certificate")
        previous=${previous%% *}
        number=$((number + 1))
    done

    for chain in "$directory"/audit/*.json; do proof "$chain" "$keys" >>"$work/proved"; done
    jq -r '.certificates[].audit_records[]' "$evidence" >"$work/certified"
    jq -r '.writer as $writer | .records[] | "\($writer):\(.sequence)"' "$directory"/audit/*.json | jq -R . | jq -s . >"$work/records"
    missing=$(jq -Rr --slurpfile records "$work/records" 'select([.] - $records[0] != [])' "$work/certified")
    [ -z "$missing" ] || fail "these audit records are certified and not proved: $missing"
    echo "$certificates certificates: signed by the operator, and every audit record of theirs is in a tree that the operator signed"
}

case ${1-} in
    proof) [ $# -eq 3 ] || fail "weir-verify.sh proof PROOF.json KEYS"; proof "$2" "$3" ;;
    lines) [ $# -eq 3 ] || fail "weir-verify.sh lines BUNDLES.jsonl KEYS"; lines "$2" "$3" ;;
    pack) [ $# -eq 3 ] || fail "weir-verify.sh pack DIRECTORY KEYS"; pack "$2" "$3" ;;
    *) fail "weir-verify.sh proof PROOF.json KEYS | pack DIRECTORY KEYS | lines BUNDLES.jsonl KEYS" ;;
esac
