//! What stands before a line: the headers of syslog and of container runtimes.

use memchr::memchr;

/// A line of a container runtime's log (CRI): `TIME stdout F line`, or `P` where the line goes on in the
/// next.
pub(super) struct Cri<'l> {
    pub(super) stream: &'l [u8],
    pub(super) is_partial: bool,
    pub(super) rest: &'l [u8],
}

/// The line behind a container runtime's header.
pub(super) fn cri(line: &[u8]) -> Option<Cri<'_>> {
    let mut rest = line;
    let mut word = || {
        let end = memchr(b' ', rest)?;
        let word = &rest[..end];
        rest = &rest[end + 1..];
        Some(word)
    };
    let (time, stream, tags) = (word()?, word()?, word()?);
    let is_time = time.len() >= 20 && time[0].is_ascii_digit() && time.get(10) == Some(&b'T');
    if !is_time || !matches!(stream, b"stdout" | b"stderr") {
        return None;
    }
    // The first tag says whether the line is whole.
    let is_partial = match tags.split(|byte| *byte == b':').next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(Cri { stream, is_partial, rest })
}

/// The line without a syslog header of either kind before it; as it is where there is none.
pub(super) fn without_syslog(line: &[u8]) -> &[u8] {
    behind_syslog(line).unwrap_or(line)
}

fn behind_syslog(line: &[u8]) -> Option<&[u8]> {
    let rest = behind_priority(line).unwrap_or(line);
    if let Some(modern) = rest.strip_prefix(b"1 ").filter(|_| rest.len() < line.len()) {
        // `1 TIME host program id - - line`.
        return modern.splitn(7, |byte| *byte == b' ').nth(6);
    }
    // `Nov 21 06:30:06 host program[1]: line`, or `2026-11-21T06:30:06.123+00:00 host program[1]: line`, as
    // syslog daemons write files.
    let head = &rest[..rest.len().min(256)];
    let is_dated = match head {
        [b'A'..=b'Z', b'a'..=b'z', b'a'..=b'z', b' ', _, b'0'..=b'9', b' ', _, _, b':', ..] => true,
        [b'1'..=b'9', _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', ..] => true,
        _ => rest.len() < line.len(),
    };
    let tag = memchr::memmem::find(head, b": ").filter(|_| is_dated)?;
    Some(&rest[tag + 2..])
}

fn behind_priority(line: &[u8]) -> Option<&[u8]> {
    let end = line.iter().take(5).position(|byte| *byte == b'>')?;
    let is_priority = line.first() == Some(&b'<') && line[1..end].iter().all(u8::is_ascii_digit);
    is_priority.then(|| &line[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_taken_off() {
        let cri = cri(b"2026-11-21T06:30:06.123456789+01:00 stderr P {\"a\":1").unwrap();
        assert_eq!((cri.stream, cri.is_partial, cri.rest), (&b"stderr"[..], true, &b"{\"a\":1"[..]));
        for line in ["2026-11-21T06:30:06Z stdout X {}", "2026 stdout F {}", "{\"a\": \"b c d e\"}", "a b c"]
        {
            assert!(super::cri(line.as_bytes()).is_none(), "{line}");
        }
        assert_eq!(without_syslog(b"<190>Nov 21 06:30:06 gw nginx[12]: x y"), b"x y");
        assert_eq!(without_syslog(b"<190>1 2026-11-21T06:30:06Z gw nginx 12 - - x y"), b"x y");
        assert_eq!(without_syslog(b"Nov  1 06:30:06 gw nginx[12]: x y"), b"x y");
        assert_eq!(without_syslog(b"2026-11-21T06:30:06.1+00:00 gw nginx[12]: x y"), b"x y");
        assert_eq!(without_syslog(b"plain: line"), b"plain: line");
    }
}
