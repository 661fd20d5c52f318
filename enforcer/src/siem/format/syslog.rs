//! A line of any format as a message of syslog (RFC 5424): priority, time, host, program, and the line as its
//! text.

use crate::siem::notice::{Notice, VERSION};
use crate::siem::text::rfc3339;

/// Facility `authpriv`: security messages that not everybody may read.
const FACILITY: u8 = 10;

/// Longest name of a host, in bytes.
const HOST_BYTES_MAX: usize = 255;

/// A host's name as the header may hold it: printable ASCII without blanks, and `-` for none.
fn host_name(host: &str) -> String {
    let host: String = host.chars().filter(char::is_ascii_graphic).take(HOST_BYTES_MAX).collect();
    if host.is_empty() { "-".into() } else { host }
}

/// Appends the message with this line, which is one already.
pub fn write(notice: &Notice, host: &str, line: &[u8], out: &mut Vec<u8>) {
    let priority = FACILITY * 8 + notice.severity.syslog();
    let (time, host, kind) = (rfc3339(notice.time_ms), host_name(host), notice.kind.as_str());
    let head = format!(
        "<{priority}>1 {time} {host} weir - {kind} [origin software=\"Weir\" swVersion=\"{VERSION}\"] "
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(line.trim_ascii_end());
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn a_host_has_a_name_without_blanks_or_none() {
        assert_eq!(host_name("node 1\n"), "node1");
        assert_eq!(host_name("ü "), "-");
        assert_eq!(host_name(&"a".repeat(300)).len(), 255);
    }
}
