//! How readers learn of what comes.

use super::*;
use crate::backend::Backend;
use std::thread;
use std::time::Duration;

pub fn a_reader_waits_for_what_comes(backend: impl Backend) {
    let fresh = backend.fresh(1);
    let log = &*fresh.log;
    let mut reader = log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let mut records = Records::default();
    for round in 0..3 {
        thread::scope(|scope| {
            scope.spawn(|| write(log, vec![text(Topic::Events, "k", &format!("{round}"))]));
            while records.len() <= round {
                assert!(reader.wait(Duration::from_secs(30)).unwrap());
                reader.take(0, 10, usize::MAX, &mut records).unwrap();
            }
        });
    }
    assert_eq!(texts(&records), ["0", "1", "2"]);
}

pub fn a_reader_does_not_wait_for_ever(backend: impl Backend) {
    let fresh = backend.fresh(1);
    write(&*fresh.log, vec![text(Topic::Events, "k", "one")]);
    let mut reader = fresh.log.reader(&[at(Topic::Events, 0, 0), at(Topic::Verdicts, 0, 0)]).unwrap();
    let mut records = Records::default();
    while records.is_empty() {
        assert!(reader.wait(Duration::from_secs(30)).unwrap());
        reader.take(0, 10, usize::MAX, &mut records).unwrap();
    }
    assert_eq!(reader.wait(Duration::from_millis(50)), Ok(false));
    reader.take(0, 10, usize::MAX, &mut records).unwrap();
    reader.take(1, 10, usize::MAX, &mut records).unwrap();
    assert_eq!(texts(&records), ["one"]);
}

pub fn a_reader_of_several_inputs_wakes_for_any(backend: impl Backend) {
    let fresh = backend.fresh(2);
    let inputs = [at(Topic::Control, 0, 0), at(Topic::Clusters, 1, 0), at(Topic::Events, 1, 0)];
    let mut reader = fresh.log.reader(&inputs).unwrap();
    for (input, position) in inputs.iter().enumerate() {
        write(&*fresh.log, vec![text(position.topic, "k", "one").in_partition(position.partition)]);
        let mut taken = [0; 3];
        while taken[input] == 0 {
            assert!(reader.wait(Duration::from_secs(30)).unwrap());
            for (other, taken) in taken.iter_mut().enumerate() {
                let mut records = Records::default();
                reader.take(other, 10, usize::MAX, &mut records).unwrap();
                *taken += records.len();
            }
        }
        let mut expected = [0; 3];
        expected[input] = 1;
        assert_eq!(taken, expected);
    }
}

pub fn readers_do_not_disturb_each_other(backend: impl Backend) {
    let fresh = backend.fresh(1);
    write(&*fresh.log, (0..10).map(|number| text(Topic::Events, "k", &format!("{number}"))).collect());
    let open = || (fresh.log.reader(&[at(Topic::Events, 0, 0)]).unwrap(), Records::default());
    let mut readers = [open(), open()];
    while readers.iter().any(|(_, records)| records.len() < 10) {
        for (index, (reader, records)) in readers.iter_mut().enumerate() {
            if records.len() < 10 {
                assert!(reader.wait(Duration::from_secs(30)).unwrap());
                reader.take(0, index + 1, usize::MAX, records).unwrap();
            }
        }
    }
    let expected: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert!(readers.iter().all(|(_, records)| texts(records) == expected));
}
