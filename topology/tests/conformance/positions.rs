//! How far a writer says that it has come.

use super::*;
use crate::backend::Backend;
use weir_topology::limits::RECORD_BYTES_MAX;

fn sorted(mut positions: Vec<Position>) -> Vec<Position> {
    positions.sort_by_key(|position| (position.topic, position.partition));
    positions
}

pub fn positions_are_committed_with_the_records(backend: impl Backend) {
    let fresh = backend.fresh(2);
    write(&*fresh.log, (0..9).map(|_| text(Topic::Events, "k", "x").in_partition(1)).collect());
    let mut writer = fresh.log.writer("account/1").unwrap();
    let mut step = |positions: Vec<Position>| {
        let outputs = vec![text(Topic::Verdicts, "k", "x").in_partition(1)];
        writer.commit(&Commit { outputs, positions }).unwrap();
    };
    step(vec![at(Topic::Events, 1, 4), at(Topic::Control, 0, 0)]);
    assert_eq!(sorted((fresh.positions)("account/1")), [at(Topic::Events, 1, 4), at(Topic::Control, 0, 0)]);
    // What is not named stays where it was.
    step(vec![at(Topic::Events, 1, 9)]);
    assert_eq!(sorted((fresh.positions)("account/1")), [at(Topic::Events, 1, 9), at(Topic::Control, 0, 0)]);
    assert_eq!((fresh.positions)("account/0"), []);
}

pub fn the_positions_of_a_refused_commit_do_not_move(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let mut old = fresh.log.writer("account/0").unwrap();
    old.commit(&Commit { outputs: Vec::new(), positions: vec![at(Topic::Events, 0, 0)] }).unwrap();
    let mut new = fresh.log.writer("account/0").unwrap();
    let later = |outputs| Commit { outputs, positions: vec![at(Topic::Events, 0, 5)] };
    assert!(old.commit(&later(Vec::new())).is_err());
    let mut large = text(Topic::Verdicts, "k", "");
    large.payload = Some(vec![0; RECORD_BYTES_MAX + 1]);
    assert!(new.commit(&later(vec![large])).is_err());
    assert_eq!((fresh.positions)("account/0"), [at(Topic::Events, 0, 0)]);
}
