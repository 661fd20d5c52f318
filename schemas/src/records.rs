//! The records, generated from `avro/*.avsc` by `build.rs`.

use crate::codec::{DecodeError, Reader, Record, put_bytes, put_long};

include!(concat!(env!("OUT_DIR"), "/records.rs"));
