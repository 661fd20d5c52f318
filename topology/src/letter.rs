//! How a dead letter stands in its topic: the same headers whoever writes it, so that any Kafka tool
//! can sort letters without knowing their schema.

use crate::record::{LABEL_HEADER, Output, POPULATION_HEADER, RecordRef};
use crate::topic::Topic;
use weir_schemas::DeadLetter;
use weir_schemas::wire::Wire;

/// Why, from the closed set of [`weir_schemas::DlqKind`].
pub const KIND_HEADER: &str = "weir-dlq-kind";

/// Topic that the record came from.
pub const TOPIC_HEADER: &str = "weir-dlq-origin-topic";

/// File that the line came from.
pub const FILE_HEADER: &str = "weir-dlq-origin-file";

/// Partition that the record came from.
pub const PARTITION_HEADER: &str = "weir-dlq-origin-partition";

/// Offset of the record in its partition, or of the line's first byte in its file.
pub const OFFSET_HEADER: &str = "weir-dlq-origin-offset";

/// Timestamp of the record in its topic, in milliseconds since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "weir-dlq-origin-timestamp";

/// Schema that the record names, as hex fingerprint or registry id.
pub const SCHEMA_HEADER: &str = "weir-dlq-schema";

/// On a record that an operator sent back, and on the mark beside its letter: the letter's own place
/// in the dead-letter topic, `partition/offset`.
pub const REQUEUED_HEADER: &str = "weir-dlq-requeued-from";

/// The record of a dead letter for a record that a topic gave. Its evaluation label travels along, so
/// that it goes back with the record when an operator sends it; no stage looks at it.
pub fn record_again(wire: &Wire, record: RecordRef<'_>, letter: &DeadLetter) -> Output {
    let output = record_of(wire, record.key.to_vec(), letter, record.timestamp_ms);
    [LABEL_HEADER, POPULATION_HEADER].into_iter().fold(output, |output, name| match record.header(name) {
        Some(value) => output.with_header(name, value),
        None => output,
    })
}

/// The record of a letter, under the key of what was refused.
pub fn record_of(wire: &Wire, key: Vec<u8>, letter: &DeadLetter, timestamp_ms: i64) -> Output {
    let output = Output::keyed(Topic::Dlq, key, wire.to_bytes(letter), timestamp_ms)
        .with_header(KIND_HEADER, letter.kind.as_str());
    // A line of a file has neither partition, timestamp nor schema.
    if letter.partition < 0 {
        return output
            .with_header(FILE_HEADER, letter.origin.clone())
            .with_header(OFFSET_HEADER, letter.offset.to_string());
    }
    output
        .with_header(TOPIC_HEADER, letter.origin.clone())
        .with_header(PARTITION_HEADER, letter.partition.to_string())
        .with_header(OFFSET_HEADER, letter.offset.to_string())
        .with_header(TIMESTAMP_HEADER, letter.time_ms.to_string())
        .with_header(SCHEMA_HEADER, letter.schema.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use weir_schemas::DlqKind;

    fn check(letter: DeadLetter, expected: Expect) {
        let output = record_of(&Wire::new(), b"key".to_vec(), &letter, 9);
        let headers = output.headers.iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect();
        expected.assert_eq(&headers.join("\n"));
    }

    #[test]
    fn a_letter_of_a_record_says_where_the_record_stands() {
        let letter = DeadLetter {
            kind: DlqKind::Undecodable,
            origin: "weir.events".into(),
            partition: 3,
            offset: 71,
            time_ms: 5,
            schema: "17".into(),
            ..DeadLetter::default()
        };
        check(
            letter,
            expect![[r#"
                weir-dlq-kind=UNDECODABLE
                weir-dlq-origin-topic=weir.events
                weir-dlq-origin-partition=3
                weir-dlq-origin-offset=71
                weir-dlq-origin-timestamp=5
                weir-dlq-schema=17"#]],
        );
    }

    #[test]
    fn a_letter_of_a_line_names_its_file_and_no_topic() {
        let letter = DeadLetter {
            kind: DlqKind::InvalidJson,
            origin: "/var/log/access.jsonl".into(),
            partition: -1,
            offset: 512,
            ..DeadLetter::default()
        };
        check(
            letter,
            expect![[r#"
                weir-dlq-kind=INVALID_JSON
                weir-dlq-origin-file=/var/log/access.jsonl
                weir-dlq-origin-offset=512"#]],
        );
    }
}
