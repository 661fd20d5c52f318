//! What it takes to tell early words.

use super::{success, text, weir};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

/// Makes a key of alerts, or adds one to the file; what was said of it.
pub fn make_key(file: &Path, role: &str, senders: &[&str]) -> String {
    let mut make = weir(&["keys", "fastpath", "--role", role]);
    make.arg(file);
    for sender in senders {
        make.args(["--sender", sender]);
    }
    text(&success(make).stdout)
}

/// A port for datagrams that nobody else has.
pub fn free_port() -> u16 {
    UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

/// The built-in policy, but that nothing is said of anybody below the score of alerts: whoever is found is
/// found at once, with nothing in force from before.
pub fn policy_that_finds_at_once(directory: &Path) -> PathBuf {
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../processor/policy/default.toml");
    let mut text = std::fs::read_to_string(builtin).unwrap();
    for (tier, score) in [
        ("medium = 0.35", "medium = 0.8998"),
        ("high = 0.55", "high = 0.8999"),
        ("critical = 0.72", "critical = 0.9"),
    ] {
        assert!(text.contains(tier));
        text = text.replace(tier, score);
    }
    let policy = directory.join("policy.toml");
    std::fs::write(&policy, text).unwrap();
    policy
}
