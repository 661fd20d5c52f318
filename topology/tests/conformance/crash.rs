//! The embedded log under `kill -9`: this test starts itself again as a child that commits until it
//! is killed, and looks at what it left.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use weir_topology::embedded::EmbeddedLog;
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log, Position};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const NAME: &str = "crash::what_was_acknowledged_survives_kill_9_and_nothing_is_torn";
const CHILD: &str = "WEIR_CRASH_TEST_DIR";
const ROUNDS: u64 = 15;

/// Records of commit `number`: several chunks of events and one of state.
fn commit(number: i64) -> Commit {
    let payload =
        |index: i64| format!("{number}/{index} ").repeat(1 + (number % 40) as usize * 10).into_bytes();
    let mut outputs: Vec<Output> = (0..RECORDS)
        .map(|index| {
            Output::keyed(Topic::Events, b"k".to_vec(), payload(index), number).in_partition(index as u32 % 2)
        })
        .collect();
    let state =
        Output::keyed(Topic::StateAccount, format!("k{}", number % 5).into_bytes(), payload(0), number);
    outputs.push(state.in_partition(0));
    Commit { outputs, positions: vec![Position { topic: Topic::Control, partition: 0, next: number + 1 }] }
}

const RECORDS: i64 = 40;

/// The number after the last commit that is there; panics where one is torn.
fn inspect(log: &EmbeddedLog) -> i64 {
    let end = log.bounds(Topic::Events, 0).unwrap().1 / (RECORDS / 2);
    let mut found: [Vec<(i64, Vec<u8>)>; 2] = Default::default();
    for (partition, found) in found.iter_mut().enumerate() {
        let bounds = log.bounds(Topic::Events, partition as u32).unwrap();
        assert_eq!(bounds, (0, end * RECORDS / 2));
        read_range(log, Topic::Events, partition as u32, 0, bounds.1, |records| {
            let pairs = records.iter().map(|r| (r.timestamp_ms, r.payload.unwrap_or_default().to_vec()));
            found.extend(pairs);
            Ok(())
        })
        .unwrap();
    }
    let mut expected: [Vec<(i64, Vec<u8>)>; 2] = Default::default();
    for number in 0..end {
        for output in commit(number).outputs.into_iter().filter(|output| output.topic == Topic::Events) {
            let partition = output.partition.unwrap() as usize;
            expected[partition].push((output.timestamp_ms, output.payload.unwrap()));
        }
    }
    assert!(found == expected, "the events of commits 0 to {end} are not whole");
    let mut latest = Vec::new();
    let state_end = log.bounds(Topic::StateAccount, 0).unwrap().1;
    assert_eq!(state_end, end);
    read_range(log, Topic::StateAccount, 0, 0, state_end, |records| {
        latest.extend(records.iter().map(|record| record.timestamp_ms));
        Ok(())
    })
    .unwrap();
    assert_eq!(latest, ((end - 5).max(0)..end).collect::<Vec<_>>());
    let position = log.positions().unwrap().remove("w").map_or(0, |positions| positions[0].next);
    assert_eq!(position, end);
    end
}

/// Commits until it is killed, and says each number when it is done.
fn child(dir: &Path) {
    let log = EmbeddedLog::open(dir, 2).unwrap();
    let mut writer = log.writer("w").unwrap();
    for number in log.positions().unwrap().remove("w").map_or(0, |positions| positions[0].next).. {
        writer.commit(&commit(number)).unwrap();
        let mut out = std::io::stdout().lock();
        // Past the test harness, which would keep it to itself. The parent may be gone.
        if writeln!(out, "acknowledged {number}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_nothing_is_torn() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = thread::spawn(move || {
            // The last line may have been cut by the kill; a number that is cut would be too small.
            lines
                .map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<i64>().ok())
                .last()
        });
        // Moments that are spread over opening, committing and syncing; any of them is a good one.
        thread::sleep(Duration::from_micros(20_000 + round * 37_337 % 150_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = acknowledged.join().unwrap();
        let log = EmbeddedLog::open(dir.path(), 2).unwrap();
        let end = inspect(&log);
        assert!(
            end >= before && end > acknowledged.unwrap_or(-1),
            "{end} of {acknowledged:?}, {before} before"
        );
        before = end;
    }
    assert!(before > 0, "no child lived long enough to commit anything");
}
