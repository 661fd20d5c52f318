//! Weir's records: Avro schemas, their Rust types and their wire framing.
