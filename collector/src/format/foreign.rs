//! Log formats that are no JSON, so that whoever has one is told what to do instead of at which byte it
//! fails.

/// What to say of a line of 16-bit characters.
pub(super) const WIDE: &str = "it is UTF-16, as PowerShell writes it: convert it with `iconv -f utf-16 -t utf-8`, or have UTF-8 written";

/// Whether a line is of 16-bit characters: the first of a file says so, and in any of them every other byte
/// is 0.
pub(super) fn is_wide(line: &[u8]) -> bool {
    let zeros = || memchr::memchr_iter(0, line).count();
    matches!(line, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) && zeros() > 0
        || line.len() >= 16 && (line.len() * 2 / 5..line.len() * 3 / 5 + 1).contains(&zeros())
}

/// What to say of a line that is no JSON; none where it looks like nothing that is known.
pub(super) fn advice(line: &str) -> Option<&'static str> {
    if is_web_server(line) {
        return Some(
            "it is of the `combined` or `common` format of web servers, which has neither keys nor prompts: log JSON, \
             with nginx by the files in deploy/nginx",
        );
    }
    if is_envoy(line) {
        return Some(
            "it is Envoy's own text format, which names no account: have `json_format` written with the keys in \
             docs/formats.md",
        );
    }
    if line.starts_with("{'") {
        return Some("it is a dictionary as Python prints it, and no JSON: write it with `json.dumps`");
    }
    if line.starts_with("#Fields:") || line.starts_with("#Version:") {
        return Some("it is of the extended format of W3C, which is not read: log JSON");
    }
    if is_logfmt(line) {
        return Some("it is logfmt, which is not read: log JSON");
    }
    if is_table(line) {
        return Some(
            "it has columns, and no line names an account and a time among them: write their names into the file's \
             first line, or into a format file (`columns` in docs/formats.md)",
        );
    }
    None
}

/// `203.0.113.9 - bob [26/Nov/2026:06:25:25 +0000] "GET / HTTP/1.1" 200 2 "-" "curl/8"`.
fn is_web_server(line: &str) -> bool {
    let Some((_, rest)) = line.split_once('[') else { return false };
    let Some((time, rest)) = rest.split_once("] \"") else { return false };
    let separator = |place: usize| time.as_bytes().get(place) == Some(&b'/');
    let is_time = time.len() >= 20 && separator(2) && separator(6);
    is_time && rest.contains('"')
}

/// `[2026-11-21T06:30:06.320Z] "POST /v1/x HTTP/1.1" 200 - 0 12 5 4 "-" "curl/8"`.
fn is_envoy(line: &str) -> bool {
    let line = line.strip_prefix('[').unwrap_or(line);
    let Some((time, rest)) = line.split_once("] \"") else { return false };
    let is_time = time.len() >= 19 && time.as_bytes()[10] == b'T' && time.ends_with('Z');
    is_time && rest.contains(" HTTP/")
}

/// `acct-1,2026-11-21T06:30:06Z,m,200`.
fn is_table(line: &str) -> bool {
    const CELLS_MIN: usize = 4;
    let is_cells = |separator: char| {
        let cells = || line.split(separator).map(str::trim);
        // Words with commas between them are a sentence.
        cells().count() >= CELLS_MIN && cells().filter(|cell| !cell.contains(' ')).count() >= CELLS_MIN
    };
    !line.starts_with(['{', '<']) && !line.contains('=') && [',', ';', '\t', '|'].into_iter().any(is_cells)
}

/// `time=2026-11-26T06:25:25Z level=info msg="chat completion" model=m`.
fn is_logfmt(line: &str) -> bool {
    let is_pair = |word: &str| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    is_pair(line) && line.split(' ').filter(|word| is_pair(word)).count() >= 3
}
