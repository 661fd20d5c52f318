//! A ZIP archive whose files are stored as they are, with no time of its own: the same files give the same bytes.

/// The archive of these files, in this order. Every name is ASCII, and all of it together is below 4 GiB; none where it
/// is not.
pub fn archive(files: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let (offset, length) = (u32::try_from(out.len()).ok()?, u32::try_from(content.len()).ok()?);
        let name_length = u16::try_from(name.len()).ok().filter(|_| name.is_ascii())?;
        // Version 2.0, no flags, stored, 1980-01-01.
        let mut header = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        header.extend(crc32(content).to_le_bytes());
        header.extend(length.to_le_bytes());
        header.extend(length.to_le_bytes());
        header.extend(name_length.to_le_bytes());
        header.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&header);
        out.extend(name.as_bytes());
        out.extend(content);
        // Made by version 2.0; no comment, first disk, no attributes.
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&header);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len()).ok()?.to_le_bytes();
    let (offset, length) = (u32::try_from(out.len()).ok()?, u32::try_from(directory.len()).ok()?);
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].concat());
    out.extend(length.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.extend([0, 0]);
    Some(out)
}

fn crc32(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn names_that_would_need_another_form_are_refused() {
        assert_eq!(archive(&[("stra\u{df}e".into(), vec![])]), None);
    }
}
