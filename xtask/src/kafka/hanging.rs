//! Transactions that a broker forgot to end in some of their partitions, ended like the rest of them.
//!
//! A lone broker that restarts may write that a transaction is complete without having told the partitions
//! (docs/chaos.md). Readers wait behind it for ever, and the producer's next transaction in such a partition
//! ends both in one way. So what its coordinator had decided, in `__transaction_state`, need not be what
//! became of it. What counts for Weir is the record that goes with every commit, of a task's epoch or a
//! collector's position: where it is visible, the rest of the transaction must become so, and where it is
//! not, must not. Apache's tool can only abort.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::probe;

/// A transaction that hangs in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hanging {
    topic: String,
    partition: i32,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    /// When its last record was appended, in milliseconds since 1970.
    last_ms: i64,
}

impl Hanging {
    /// One of each line of `kafka-transactions find-hanging` but the heading.
    pub fn in_lines(found: &str) -> Vec<Self> {
        found.lines().filter_map(Self::in_line).collect()
    }

    fn in_line(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [topic, partition, producer_id, producer_epoch, coordinator_epoch, _start, last_ms, ..] =
            columns[..]
        else {
            return None;
        };
        Some(Self {
            topic: topic.to_owned(),
            partition: partition.parse().ok()?,
            producer_id: producer_id.parse().ok()?,
            producer_epoch: producer_epoch.parse().ok()?,
            coordinator_epoch: coordinator_epoch.parse().ok()?,
            last_ms: last_ms.parse().ok()?,
        })
    }

    /// Writes the marker that the partition was not given.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub fn end(&self, broker_port: u16, commits: bool) -> Result<()> {
        let answer = probe::ask(broker_port, &self.request(commits)).context("the broker does not answer")?;
        let error = answer
            .get(answer.len().saturating_sub(5)..)
            .and_then(|rest| Some(i16::from_be_bytes(rest.get(..2)?.try_into().ok()?)));
        ensure!(
            error == Some(0),
            "the broker does not end the transaction in {}/{}: error {error:?}",
            self.topic,
            self.partition
        );
        Ok(())
    }

    /// `WriteTxnMarkers`, version 1: one marker for one partition. Apache's tool has it for aborts only.
    fn request(&self, commits: bool) -> Vec<u8> {
        let mut body = probe::headed(27, 1);
        // Compact arrays and strings begin with their length and one; every structure ends with its count of
        // tags.
        body.extend_from_slice(&[0, 2]);
        body.extend_from_slice(&self.producer_id.to_be_bytes());
        body.extend_from_slice(&self.producer_epoch.to_be_bytes());
        body.extend_from_slice(&[u8::from(commits), 2]);
        body.push(self.topic.len() as u8 + 1);
        body.extend_from_slice(self.topic.as_bytes());
        body.push(2);
        body.extend_from_slice(&self.partition.to_be_bytes());
        body.push(0);
        body.extend_from_slice(&self.coordinator_epoch.to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        probe::framed(body)
    }
}

/// What coordinators decided, in the order in which they did.
pub struct Decisions(Vec<Decision>);

/// A coordinator's decision on one transaction.
pub struct Decision {
    at_ms: i64,
    producer_id: i64,
    commits: bool,
    partitions: Vec<(String, i64)>,
}

impl Decision {
    /// Topics and partitions of the records that say for Weir whether the transaction happened: one for each
    /// task that took part.
    pub fn anchors(&self) -> impl Iterator<Item = &(String, i64)> {
        let is_it = |topic: &str| topic.ends_with("weir.epochs") || topic.ends_with("weir.state.collector");
        self.partitions.iter().filter(move |(topic, _)| is_it(topic))
    }

    /// What the coordinator decided.
    pub fn commits(&self) -> bool {
        self.commits
    }

    /// Whether the transaction happened, by what `DumpLogSegments` says of one of its anchors; none where
    /// that hangs too.
    pub fn known(&self, anchor_dump: &str) -> Option<bool> {
        let number = |line: &str, name: &str| -> Option<i64> {
            line.split_once(name)?.1.split_whitespace().next()?.parse().ok()
        };
        let (mut is_there, mut is_marker) = (false, false);
        for line in anchor_dump.lines() {
            if line.starts_with("baseOffset: ") && number(line, " producerId: ") == Some(self.producer_id) {
                is_marker = line.contains(" isControl: true");
                let at_ms = number(line, " LogAppendTime: ");
                is_there |= !is_marker && at_ms.is_some_and(|at_ms| at_ms <= self.at_ms);
                continue;
            }
            let Some((_, marker)) = line.split_once(" endTxnMarker: ") else { continue };
            // One of before ended another transaction.
            if std::mem::take(&mut is_marker) && is_there {
                let ends_ms = number(line, " LogAppendTime: ");
                if ends_ms.is_some_and(|ends_ms| ends_ms >= self.at_ms) {
                    return Some(marker.starts_with("COMMIT"));
                }
                is_there = false;
            }
        }
        None
    }
}

/// `transactionStatus` of a transaction that is to be committed, and of one that is to be aborted.
const PREPARE_COMMIT: i64 = 2;
const PREPARE_ABORT: i64 = 3;

impl Decisions {
    /// Reads what Apache's `DumpLogSegments` says of `__transaction_state`: a line for each entry, with its
    /// payload as JSON at the end.
    ///
    /// # Errors
    /// When it is something else.
    pub fn in_dump(dump: &str) -> Result<Self> {
        let mut decisions = Vec::new();
        for payload in dump.lines().filter_map(|line| Some(line.split_once(" payload: ")?.1)) {
            let entry: Value = serde_json::from_str(payload).with_context(|| {
                format!("the transaction log is not what it was expected to be: {payload}")
            })?;
            let data = &entry["data"];
            let commits = match data["transactionStatus"].as_i64() {
                Some(PREPARE_COMMIT) => true,
                Some(PREPARE_ABORT) => false,
                _ => continue,
            };
            let number = |name: &str| data[name].as_i64().with_context(|| format!("an entry without {name}"));
            let topics = data["transactionPartitions"].as_array();
            let partitions = topics.into_iter().flatten().flat_map(|topic| {
                let name = topic["topic"].as_str().unwrap_or_default();
                let numbers = topic["partitionIds"].as_array().into_iter().flatten();
                numbers.filter_map(move |number| Some((name.to_owned(), number.as_i64()?)))
            });
            decisions.push(Decision {
                at_ms: number("transactionLastUpdateTimestampMs")?,
                producer_id: number("producerId")?,
                commits,
                partitions: partitions.collect(),
            });
        }
        Ok(Self(decisions))
    }

    /// What was decided of the transaction: the first decision about its partition after its last record.
    pub fn of(&self, hanging: &Hanging) -> Option<&Decision> {
        let place = (hanging.topic.clone(), i64::from(hanging.partition));
        let is_it = |decision: &&Decision| {
            decision.producer_id == hanging.producer_id
                && decision.at_ms >= hanging.last_ms
                && decision.partitions.contains(&place)
        };
        self.0.iter().filter(is_it).min_by_key(|decision| decision.at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn hanging() -> Hanging {
        let found = "Topic\tPartition\tProducerId\tProducerEpoch\tCoordinatorEpoch\tStartOffset\tLastTimestamp\tDuration(min)\n\
                     weir.audit\t3\t18\t17\t12\t42\t1795274668967\t1\n\n";
        let [one] = &Hanging::in_lines(found)[..] else { panic!("{found}") };
        one.clone()
    }

    #[test]
    fn a_hanging_transaction_is_told_from_the_heading() {
        expect![[r#"Hanging { topic: "weir.audit", partition: 3, producer_id: 18, producer_epoch: 17, coordinator_epoch: 12, last_ms: 1795274668967 }"#]]
            .assert_eq(&format!("{:?}", hanging()));
        assert_eq!(Hanging::in_lines(""), []);
    }

    #[test]
    fn the_marker_is_write_txn_markers_version_1() {
        let request = hanging().request(true);
        assert_eq!(request.len(), 4 + i32::from_be_bytes(*request.first_chunk().unwrap()) as usize);
        expect!["[0, 27, 0, 1, 0, 0, 0, 7, 0, 5, 120, 116, 97, 115, 107, 0, 2, 0, 0, 0, 0, 0, 0, 0, 18, 0, 17, 1, 2, 11, 119, 101, 105, 114, 46, 97, 117, 100, 105, 116, 2, 0, 0, 0, 3, 0, 0, 0, 0, 12, 0, 0]"]
            .assert_eq(&format!("{:?}", &request[4..]));
    }

    #[test]
    fn a_transaction_happened_if_its_epoch_record_became_visible() {
        let decision = Decision {
            at_ms: 1_000,
            producer_id: 18,
            commits: true,
            partitions: vec![("a-weir.audit".into(), 3), ("a-weir.epochs".into(), 3)],
        };
        assert_eq!(decision.anchors().collect::<Vec<_>>(), [&("a-weir.epochs".into(), 3)]);
        let batch = |producer: i64, at_ms: i64| {
            format!(
                "baseOffset: 1 lastOffset: 1 count: 1 producerId: {producer} producerEpoch: 7 isControl: false position: 0 LogAppendTime: {at_ms} size: 9\n| offset: 1 LogAppendTime: {at_ms} keySize: 9\n"
            )
        };
        let marker = |producer: i64, at_ms: i64, what: &str| {
            format!(
                "baseOffset: 2 lastOffset: 2 count: 1 producerId: {producer} producerEpoch: 7 isControl: true position: 0 LogAppendTime: {at_ms} size: 9\n| offset: 2 LogAppendTime: {at_ms} keySize: 4 endTxnMarker: {what} coordinatorEpoch: 3\n"
            )
        };
        let of_before = batch(18, 900) + &marker(18, 910, "ABORT");
        let hangs = of_before.clone() + &batch(18, 990) + &batch(5, 995) + &marker(5, 1_001, "ABORT");
        assert_eq!(decision.known(&hangs), None, "it is as it was decided");
        let with_the_next = |what: &str| hangs.clone() + &batch(18, 1_100) + &marker(18, 1_200, what);
        assert_eq!(decision.known(&with_the_next("COMMIT")), Some(true));
        assert_eq!(decision.known(&with_the_next("ABORT")), Some(false));
    }

    #[test]
    fn the_first_decision_after_the_last_record_counts() {
        let entry = |at_ms: i64, producer: i64, status: i64, topic: &str| {
            format!(
                r#"| offset: 9 headerKeys: [] key: {{"type":"0"}} payload: {{"version":"1","data":{{"producerId":{producer},"transactionStatus":{status},"transactionPartitions":[{{"topic":"{topic}","partitionIds":[2,3]}}],"transactionLastUpdateTimestampMs":{at_ms}}}}}"#
            )
        };
        let last_ms = hanging().last_ms;
        let log = [
            entry(last_ms - 1, 18, PREPARE_ABORT, "weir.audit"),
            entry(last_ms + 1, 18, 1, "weir.audit"),
            entry(last_ms + 2, 18, PREPARE_ABORT, "weir.epochs"),
            entry(last_ms + 2, 19, PREPARE_ABORT, "weir.audit"),
            "baseOffset: 7 lastOffset: 7 count: 1".to_owned(),
            entry(last_ms + 3, 18, PREPARE_COMMIT, "weir.audit"),
            entry(last_ms + 4, 18, PREPARE_ABORT, "weir.audit"),
        ];
        let of = |entries: &[String]| {
            let decisions = Decisions::in_dump(&entries.join("\n")).unwrap();
            decisions.of(&hanging()).map(|decision| decision.commits)
        };
        assert_eq!(of(&log), Some(true));
        assert_eq!(of(&log[6..]), Some(false));
        assert_eq!(of(&log[..3]), None);
        assert!(Decisions::in_dump("key: {} payload: nonsense").is_err());
    }
}
