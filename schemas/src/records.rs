//! The records, generated from `avro/*.avsc` by `build.rs`.

// One line of the generator serves owned and borrowed bytes.
#![allow(clippy::useless_asref)]

use crate::codec::{DecodeError, Reader, Record, put_bytes, put_long};

include!(concat!(env!("OUT_DIR"), "/records.rs"));
