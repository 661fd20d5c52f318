//! `weir verify` on a log that `weir run` made.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, success, text, traffic, weir};
use std::process::Output;
use std::sync::Arc;
use weir_schemas::Verdict;
use weir_schemas::wire::Wire;
use weir_topology::embedded::EmbeddedLog;
use weir_topology::history::read_range;
use weir_topology::log::{Commit, Log};
use weir_topology::topic::Topic;

fn judged() -> Place {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    place.run_until_idle();
    place
}

fn verify(data: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = weir(&["verify", "--data-dir"]);
    command.arg(data).args(arguments).output().unwrap()
}

/// Copies the log into a new data directory, with the payload of the first verdict changed.
fn edited(place: &Place, edit: impl Fn(&mut Vec<u8>)) -> std::path::PathBuf {
    let (data, _) = place.beside();
    let from = EmbeddedLog::open_existing(&place.data.join("log")).unwrap();
    let to = EmbeddedLog::open(&data.join("log"), from.partitions(Topic::Events).unwrap()).unwrap();
    let mut edited = false;
    for topic in Topic::ALL.iter().copied() {
        for partition in 0..from.partitions(topic).unwrap() {
            let (first, end) = from.bounds(topic, partition).unwrap();
            read_range(from.as_ref(), topic, partition, first, end, |records| {
                let outputs = records.iter().map(|record| {
                    let mut payload = record.payload.map(<[u8]>::to_vec);
                    if topic == Topic::Verdicts && !edited {
                        edited = true;
                        edit(payload.as_mut().unwrap());
                    }
                    weir_topology::record::Output {
                        topic,
                        partition: Some(partition),
                        key: record.key.to_vec(),
                        payload,
                        headers: Vec::new(),
                        timestamp_ms: record.timestamp_ms,
                    }
                });
                let commit = Commit { outputs: outputs.collect(), positions: Vec::new() };
                to.writer("copy")?.commit(&commit)
            })
            .unwrap();
        }
    }
    data
}

/// Id of the first verdict of the log.
fn first_verdict(log: &Arc<EmbeddedLog>) -> Verdict {
    let mut found = None;
    for partition in 0..log.partitions(Topic::Verdicts).unwrap() {
        let (first, end) = log.bounds(Topic::Verdicts, partition).unwrap();
        read_range(log.as_ref(), Topic::Verdicts, partition, first, end, |records| {
            let payload = records.get(0).unwrap().payload.unwrap().to_vec();
            found.get_or_insert_with(|| Wire::new().read::<Verdict>(&payload).unwrap());
            Ok(())
        })
        .unwrap();
    }
    found.unwrap()
}

#[test]
fn a_run_is_proved_one_verdict_a_sample_and_all() {
    let place = judged();
    let first = first_verdict(&EmbeddedLog::open_existing(&place.data.join("log")).unwrap());
    let (id, account) = (first.verdict_id.to_string(), first.account.to_string());
    for arguments in [vec![id.as_str()], vec![&id, "--account", &account]] {
        let output = verify(&place.data, &arguments);
        let shown = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
        assert!(shown.contains("PROVED") && shown.contains(&account), "{shown}");
        assert!(shown.contains("read      weir.") && shown.contains("refolded  sha256"), "{shown}");
    }
    let sample = verify(&place.data, &["--sample", "1000", "--seed", "7", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&sample.stdout).unwrap();
    assert_eq!(sample.status.code(), Some(0), "{report}");
    assert!(report["proven"].as_u64().unwrap() > 0 && report["proven"] == report["scanned"], "{report}");
    let all = verify(&place.data, &["--all"]);
    assert_eq!(all.status.code(), Some(0), "{}", text(&all.stdout));
    assert!(text(&all.stdout).contains("0 different, 0 not to be told"), "{}", text(&all.stdout));
}

#[test]
fn a_verdict_edited_by_one_byte_is_caught_and_shown() {
    let place = judged();
    let first = first_verdict(&EmbeddedLog::open_existing(&place.data.join("log")).unwrap());
    let score = first.score.to_le_bytes();
    let data = edited(&place, |payload| {
        let at = payload.windows(8).position(|window| window == score).unwrap();
        payload[at] ^= 1;
    });
    let output = verify(&data, &[&first.verdict_id.to_string()]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("differs   first at byte") && shown.contains("score: "), "{shown}");
    assert!(shown.contains("DIFFERENT: this is not what was judged"), "{shown}");
    assert_eq!(verify(&data, &["--all"]).status.code(), Some(1));
    // The copy as such changes nothing.
    std::fs::remove_dir_all(&data).unwrap();
    assert_eq!(verify(&edited(&place, |_| ()), &["--all"]).status.code(), Some(0));
}

#[test]
fn a_verdict_is_folded_from_the_checkpoint_before_it() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(10, 80)).unwrap();
    let mut command = place.run_to_idle();
    command.args(["--checkpoint-interval-ms", "1", "--epoch-records-max", "20"]);
    success(command);
    let ids = place.lines_of("audit_log.jsonl").into_iter().map(|record| record["verdict_id"].clone());
    let shown: Vec<String> = ids
        .map(|id| {
            let output = verify(&place.data, &[id.as_str().unwrap()]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            text(&output.stdout)
        })
        .collect();
    assert!(
        shown.iter().any(|shown| shown.contains("folded    from the checkpoint after epoch ")),
        "{shown:?}"
    );
    assert_eq!(verify(&place.data, &["--all"]).status.code(), Some(0));
}

#[test]
fn what_is_not_there_is_neither_proved_nor_different() {
    let place = judged();
    let unknown = "00000000000000000000000000000000";
    let output = verify(&place.data, &[unknown]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).starts_with("NOT FOUND"), "{}", text(&output.stdout));
    let nowhere = verify(&place.directory.path().join("nowhere"), &["--all"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("there is no log to read"), "{}", text(&nowhere.stderr));
    for wrong in [vec!["abc"], vec![], vec!["--all", "--sample", "3"], vec!["--sample", "0"]] {
        assert_eq!(verify(&place.data, &wrong).status.code(), Some(2), "{wrong:?}");
    }
}
