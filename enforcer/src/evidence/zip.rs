//! A ZIP archive whose files are stored as they are, with no time of its own: the same files give the same
//! bytes.

use std::io::{Cursor, Write as _};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The archive of these files, in this order.
///
/// # Errors
/// Where a name is there twice, or all of it together is over what the form can hold.
pub fn archive(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, ZipError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o444);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(name, options)?;
        archive.write_all(content)?;
    }
    Ok(archive.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_the_same_bytes_and_a_name_is_there_once() {
        let file = |name: &str| (name.to_owned(), b"content".to_vec());
        let files = [file("a/one.json"), file("two.html")];
        assert_eq!(archive(&files).unwrap(), archive(&files).unwrap());
        assert!(archive(&[file("a"), file("a")]).is_err());
    }
}
