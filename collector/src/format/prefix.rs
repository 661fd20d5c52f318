//! What stands before a line: the headers of syslog and of container runtimes.

use memchr::memchr;

/// A line of a container runtime's log (CRI): `TIME stdout F line`, or `P` where the line goes on in the next.
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
    let end = line.iter().take(5).position(|byte| *byte == b'>')?;
    let is_priority = line.first() == Some(&b'<') && line[1..end].iter().all(u8::is_ascii_digit);
    if !is_priority {
        return None;
    }
    let rest = &line[end + 1..];
    // `Nov 21 06:30:06 host program[1]: line`, or `1 TIME host program id - - line`.
    let behind = memchr::memmem::find(&rest[..rest.len().min(256)], b": ").map(|found| &rest[found + 2..]);
    match rest.strip_prefix(b"1 ") {
        Some(modern) => modern.splitn(7, |byte| *byte == b' ').nth(6),
        None => behind,
    }
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
        assert_eq!(without_syslog(b"plain: line"), b"plain: line");
    }
}
