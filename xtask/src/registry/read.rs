//! A topic as strangers read it: kcat for the log, Apache's Avro for the values.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::debian::ensure_debian_packages;
use crate::dirs;

/// Every committed value of a topic, oldest first in each partition, decoded with the schemas of
/// the registry at `url`. A tombstone is null.
///
/// Debian builds kcat without Avro, so its framed output goes through `decode.py`.
///
/// # Errors
/// When the programs cannot be had, the topic cannot be read, or a value is not what the schema
/// that it names says.
pub fn read(brokers: &str, topic: &str, url: &str) -> anyhow::Result<Vec<Value>> {
    ensure_debian_packages(&["kcat", "python3-avro"])?;
    let mut kcat = Command::new("kcat");
    kcat.args(kcat_args(brokers, topic)).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut kcat = kcat.spawn().context("cannot run kcat")?;
    let framed = kcat.stdout.take().context("kcat has no output")?;
    // Debian's own interpreter is the one that has Debian's avro.
    let decoded = Command::new("/usr/bin/python3")
        .arg(dirs::workspace().join("dev/kafka/registry/decode.py"))
        .arg(url)
        .stdin(framed)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run /usr/bin/python3")?;
    let ended = kcat.wait()?;
    if !decoded.status.success() {
        bail!("{topic} cannot be decoded through {url}");
    }
    if !ended.success() {
        bail!("kcat cannot read {topic} from {brokers}: {ended}");
    }
    let lines = String::from_utf8(decoded.stdout)?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn kcat_args<'a>(brokers: &'a str, topic: &'a str) -> [&'a str; 13] {
    let committed = "isolation.level=read_committed";
    ["-C", "-e", "-q", "-b", brokers, "-t", topic, "-o", "beginning", "-X", committed, "-f", "%R%s"]
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn kcat_reads_what_is_committed_from_the_beginning_to_the_end() {
        expect!["-C -e -q -b h:1 -t weir.verdicts -o beginning -X isolation.level=read_committed -f %R%s"]
            .assert_eq(&kcat_args("h:1", "weir.verdicts").join(" "));
    }
}
