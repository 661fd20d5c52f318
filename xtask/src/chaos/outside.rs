//! The log as a stranger sees it: kcat, read_committed, and the few Avro fields that matter, read by
//! hand. Nothing here shares code with Weir.

use std::io::{BufReader, Read};
use std::process::{Command, Stdio};

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Marker and schema fingerprint of an Avro single-object frame.
const FRAME_BYTES: usize = 10;
const FRAME_MARKER: [u8; 2] = [0xC3, 0x01];
/// More than the largest record that Weir's topics take.
const VALUE_BYTES_MAX: usize = 16 << 20;

/// The first field of events, verdicts and actions.
pub type Id = [u8; 16];

/// What an action says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Action {
    /// The key that makes it idempotent.
    pub id: Id,
    /// Its state in this transition, by its place in the schema's list: 0 withheld, 1 to be carried out,
    /// others later.
    pub state: i64,
}

/// What an audit record says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Audit {
    /// Its chain.
    pub writer: String,
    /// Its place in the chain, from 1.
    pub sequence: i64,
    /// Whether it is a decision, and not what came of one.
    pub is_decision: bool,
    /// The verdict that it is about.
    pub verdict: Option<Id>,
    /// The action that it precedes.
    pub action: Option<Id>,
}

/// Calls `each` with every committed value of `topic`, as kcat gives them.
pub fn read(brokers: &str, topic: &str, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let committed = "isolation.level=read_committed";
    let mut kcat = Command::new("kcat")
        .args(["-C", "-e", "-q", "-b", brokers, "-t", topic, "-o", "beginning", "-X", committed])
        .args(["-f", "%R%s"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run kcat")?;
    let mut framed = BufReader::new(kcat.stdout.take().context("kcat has no output")?);
    let mut value = Vec::new();
    let outcome = loop {
        match next(&mut framed, &mut value) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        if let Err(error) = each(&value) {
            break Err(error);
        }
    };
    if outcome.is_err() {
        kcat.kill()?;
    }
    let ended = kcat.wait()?;
    outcome.with_context(|| format!("{topic} as kcat reads it"))?;
    ensure!(ended.success(), "kcat cannot read {topic} from {brokers}: {ended}");
    Ok(())
}

/// Reads one value behind its length; false at the end. A tombstone is empty.
fn next(framed: &mut impl Read, value: &mut Vec<u8>) -> Result<bool> {
    let mut length = [0; 4];
    let first = framed.read(&mut length)?;
    if first == 0 {
        return Ok(false);
    }
    framed.read_exact(&mut length[first..])?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
    ensure!(length <= VALUE_BYTES_MAX, "a value of {length} bytes");
    value.resize(length, 0);
    framed.read_exact(value)?;
    Ok(true)
}

/// Opens and closes the writer `transactional_id`: the broker fences whoever had it.
pub fn fence(brokers: &str, transactional_id: &str, topic: &str) -> Result<()> {
    let id = format!("transactional.id={transactional_id}");
    let mut attempts = 0;
    loop {
        // Without input it commits a transaction of nothing.
        let output = Command::new("kcat")
            .args(["-P", "-q", "-b", brokers, "-X", &id, "-t", topic])
            .stdin(Stdio::null())
            .output()
            .context("cannot run kcat")?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        attempts += 1;
        // The broker is still ending what the writer had open.
        let comes_again = reason.contains("concurrent operation") && attempts < FENCE_ATTEMPTS_MAX;
        ensure!(comes_again, "kcat: {}", reason.trim());
        std::thread::sleep(FENCE_AGAIN);
    }
}

/// How often a broker is asked to fence that is busy with the same writer, and how long it is left alone in
/// between.
const FENCE_ATTEMPTS_MAX: u32 = 100;
const FENCE_AGAIN: Duration = Duration::from_millis(200);

/// The id that an event, a verdict or an action begins with.
pub fn id(value: &[u8]) -> Result<Id> {
    Fields::of(value)?.fixed()
}

/// An action's id, and whether it is to be carried out.
pub fn action(value: &[u8]) -> Result<Action> {
    let mut fields = Fields::of(value)?;
    let id = fields.fixed()?;
    fields.long()?; // time_ms
    fields.bytes()?; // tenant
    fields.fixed()?; // account
    fields.fixed()?; // verdict_id
    fields.long()?; // kind
    fields.long()?; // ring
    Ok(Action { id, state: fields.long()? })
}

/// An audit entry's place in its chain, and what the record in it is about.
pub fn audit(value: &[u8]) -> Result<Audit> {
    let mut fields = Fields::of(value)?;
    let writer = String::from_utf8(fields.bytes()?.to_vec())?;
    let sequence = fields.long()?;
    fields.take(32)?; // previous
    fields.bytes()?; // key_id
    let mut fields = Fields::of(fields.bytes()?)?;
    fields.long()?; // time_ms
    let is_decision = fields.long()? == 1;
    fields.bytes()?; // tenant
    fields.optional()?; // account
    Ok(Audit { writer, sequence, is_decision, verdict: fields.optional()?, action: fields.optional()? })
}

/// Avro fields, in the order of the schema.
struct Fields<'v>(&'v [u8]);

impl<'v> Fields<'v> {
    fn of(value: &'v [u8]) -> Result<Self> {
        match value.split_at_checked(FRAME_BYTES) {
            Some((frame, fields)) if frame.starts_with(&FRAME_MARKER) => Ok(Self(fields)),
            _ => bail!("a value without the single-object frame: {:02x?}", &value[..value.len().min(16)]),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'v [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("a value that ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed(&mut self) -> Result<Id> {
        Ok(self.take(16)?.try_into()?)
    }

    /// Also an enum, whose value is its place in the list.
    fn long(&mut self) -> Result<i64> {
        let mut zigzag = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
        }
        bail!("a number of over 64 bits")
    }

    /// Bytes or a text.
    fn bytes(&mut self) -> Result<&'v [u8]> {
        let length = usize::try_from(self.long()?)?;
        self.take(length)
    }

    /// A union of null and an id.
    fn optional(&mut self) -> Result<Option<Id>> {
        match self.long()? {
            0 => Ok(None),
            _ => self.fixed().map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(fields: &[&[u8]]) -> Vec<u8> {
        [&[0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8], fields.concat().as_slice()].concat()
    }

    #[test]
    fn the_first_field_is_the_id() {
        assert_eq!(id(&framed(&[&[7; 16], b"rest"])).unwrap(), [7; 16]);
        assert!(id(&framed(&[&[7; 15]])).is_err());
        assert!(id(b"{\"json\":true}  and more").is_err());
    }

    #[test]
    fn an_action_is_read_up_to_its_state() {
        let action_of = |state: u8| {
            let value =
                framed(&[&[1; 16], &[0x80, 0x01], &[4], b"de", &[2; 16], &[3; 16], &[6], &[2], &[state]]);
            action(&value).unwrap()
        };
        assert_eq!(action_of(2), Action { id: [1; 16], state: 1 });
        assert_eq!(action_of(0), Action { id: [1; 16], state: 0 });
    }

    #[test]
    fn an_audit_record_is_read_up_to_its_action() {
        let record = framed(&[&[2], &[2], &[2], b"t", &[0], &[2], &[9; 16], &[0]]);
        let length = [2 * record.len() as u8];
        let value = framed(&[&[2], b"w", &[5], &[0; 32], &[2], b"k", &length, &record, &[0; 64]]);
        // Zigzag: 5 is -3, 2 is 1.
        let expected = Audit {
            writer: "w".into(),
            sequence: -3,
            is_decision: true,
            verdict: Some([9; 16]),
            action: None,
        };
        assert_eq!(audit(&value).unwrap(), expected);
    }

    #[test]
    fn values_follow_each_other_behind_their_lengths() {
        let stream = [&[0, 0, 0, 2][..], b"ab", &[255, 255, 255, 255], &[0, 0, 0, 1], b"c"].concat();
        let (mut stream, mut value, mut found) = (stream.as_slice(), Vec::new(), Vec::new());
        while next(&mut stream, &mut value).unwrap() {
            found.push(String::from_utf8(value.clone()).unwrap());
        }
        assert_eq!(found, ["ab", "", "c"]);
    }
}
