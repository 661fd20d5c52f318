//! A file of an archive: Parquet, one row a record, with the record's bytes as they stood in the log.
//!
//! Columns: `offset`; `timestamp_ms`, in milliseconds since the Unix epoch; `key` and `payload` (none for a
//! tombstone), framed and encoded as in the topic; `headers`, each a two-byte name length, the name, a
//! four-byte value length, the value, little-endian.

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;
use weir_topology::record::Records;

const SCHEMA: &str = "message record {
    REQUIRED INT64 offset;
    REQUIRED INT64 timestamp_ms (TIMESTAMP_MILLIS);
    REQUIRED BYTE_ARRAY key;
    OPTIONAL BYTE_ARRAY payload;
    REQUIRED BYTE_ARRAY headers;
}";

/// The file with these records.
pub fn encode(records: &Records) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_created_by("weir".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        // No two payloads are the same.
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut out = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut out, Arc::new(parse_message_type(SCHEMA)?), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let of = |bytes: &[u8]| ByteArray::from(bytes.to_vec());
    let mut index = 0;
    while let Some(mut column) = group.next_column()? {
        let texts = |column: &mut parquet::file::writer::SerializedColumnWriter<'_>,
                     values: Vec<ByteArray>| {
            column.typed::<ByteArrayType>().write_batch(&values, None, None)
        };
        let numbers = |column: &mut parquet::file::writer::SerializedColumnWriter<'_>, values: Vec<i64>| {
            column.typed::<Int64Type>().write_batch(&values, None, None)
        };
        match index {
            0 => numbers(&mut column, records.iter().map(|record| record.offset).collect())?,
            1 => numbers(&mut column, records.iter().map(|record| record.timestamp_ms).collect())?,
            2 => texts(&mut column, records.iter().map(|record| of(record.key)).collect())?,
            3 => {
                let there: Vec<i16> = records.iter().map(|record| record.payload.is_some().into()).collect();
                let values: Vec<ByteArray> =
                    records.iter().filter_map(|record| record.payload).map(of).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)?
            }
            _ => texts(&mut column, records.iter().map(|record| of(&headers(record.headers()))).collect())?,
        };
        column.close()?;
        index += 1;
    }
    group.close()?;
    writer.close()?;
    Ok(out)
}

fn headers<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value);
    }
    bytes
}

/// Name and value of every header; what does not fit ends them.
fn each_header(mut rest: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (name, tail) = tail.split_at_checked(u16::from_le_bytes(*length).into())?;
        let (length, tail) = tail.split_first_chunk::<4>()?;
        let (value, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = tail;
        Some((std::str::from_utf8(name).ok()?, value))
    })
}

/// The records of a file.
pub fn decode(bytes: Vec<u8>) -> Result<Records, ParquetError> {
    let reader = SerializedFileReader::new(Bytes::from(bytes))?;
    let other = || ParquetError::General("its columns are not those of an archive".into());
    let mut records = Records::default();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows()).map_err(|_| other())?;
        if group.num_columns() != 5 {
            return Err(other());
        }
        let numbers = |index| match group.get_column_reader(index)? {
            ColumnReader::Int64ColumnReader(mut column) => {
                let mut values = Vec::new();
                column.read_records(rows, None, None, &mut values)?;
                Ok(values)
            }
            _ => Err(other()),
        };
        let texts = |index, there: Option<&mut Vec<i16>>| match group.get_column_reader(index)? {
            ColumnReader::ByteArrayColumnReader(mut column) => {
                let mut values = Vec::new();
                column.read_records(rows, there, None, &mut values)?;
                Ok(values)
            }
            _ => Err(other()),
        };
        let (offsets, times) = (numbers(0)?, numbers(1)?);
        let (keys, headers) = (texts(2, None)?, texts(4, None)?);
        let mut there = Vec::new();
        let mut payloads = texts(3, Some(&mut there))?.into_iter();
        if [offsets.len(), times.len(), keys.len(), headers.len(), there.len()] != [rows; 5] {
            return Err(other());
        }
        for row in 0..rows {
            let payload = if there[row] == 1 { Some(payloads.next().ok_or_else(other)?) } else { None };
            let payload = payload.as_ref().map(ByteArray::data);
            let headers = each_header(headers[row].data());
            records.push(offsets[row], times[row], keys[row].data(), payload, headers);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were() {
        let mut records = Records::default();
        records.push(7, 70, b"key", Some(b"payload"), [("weir-label", &b"hydra"[..]), ("b", b"")]);
        records.push(9, -1, b"", None, []);
        records.push(10, i64::MAX, &[0xff; 300], Some(b""), []);
        records.push(12, 0, b"last", Some(&[7; 100_000]), [("", &b""[..])]);
        assert_eq!(decode(encode(&records).unwrap()).unwrap(), records);
        assert_eq!(decode(encode(&Records::default()).unwrap()).unwrap(), Records::default());
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(decode(b"PAR1 and nothing else".to_vec()).is_err());
        let mut records = Records::default();
        records.push(0, 0, b"key", Some(b"payload"), []);
        let whole = encode(&records).unwrap();
        assert!(decode(whole[..whole.len() - 9].to_vec()).is_err());
    }
}
