"""Reads Confluent-framed Avro values as kcat prints them, decodes them through a schema registry.

    kcat -C -e -q -b BROKERS -t TOPIC -f '%R%s' | decode.py REGISTRY_URL

`%R` is the value's length as four bytes, big endian. One line of JSON is printed a value; bytes
and fixed become hexadecimal. No code of Weir takes part: Avro is Apache's, the schema is the one
that the registry gives for the id in the value.
"""

import io
import json
import struct
import sys
import urllib.request

import avro.io
import avro.schema


def reader_of(url, schema_id, readers):
    if schema_id not in readers:
        with urllib.request.urlopen(f"{url}/schemas/ids/{schema_id}") as answer:
            schema = avro.schema.parse(json.load(answer)["schema"])
        readers[schema_id] = avro.io.DatumReader(schema)
    return readers[schema_id]


def plain(value):
    return value.hex() if isinstance(value, bytes) else str(value)


def main():
    url, readers, position = sys.argv[1], {}, 0
    while header := sys.stdin.buffer.read(4):
        (length,) = struct.unpack(">i", header)
        # A tombstone has no value, and length -1.
        if length < 0:
            print("null")
        else:
            value = sys.stdin.buffer.read(length)
            if len(value) < 5 or value[0] != 0:
                sys.exit(f"value {position} is not in the registry's framing: {value[:8].hex()}")
            (schema_id,) = struct.unpack(">I", value[1:5])
            body = io.BytesIO(value[5:])
            record = reader_of(url, schema_id, readers).read(avro.io.BinaryDecoder(body))
            if body.read(1):
                sys.exit(f"value {position} is longer than its schema says")
            print(json.dumps(record, default=plain))
        position += 1


if __name__ == "__main__":
    main()
