//! A spool's files as a disk may give them back: torn, changed, of another build; and batches in them that
//! are none, through everything up to the commit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_collector::{Keys, Pseudonymizer, Sealer, Spool, SpoolConfig, SyncPolicy, TraceConfig, TraceSource};
use weir_schemas::wire::Wire;
use weir_topology::memory::MemoryLog;
use weir_topology::telemetry::Silent;

const NOW_MS: i64 = 1_795_300_000_000;

thread_local! {
    /// Memory, where the machine has a file system of it: a disk is slow.
    static DIRECTORY: PathBuf = {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        parent.join(format!("weir-fuzz-spool-{}", std::process::id()))
    };
}

fn open(directory: &std::path::Path, run: u8) -> Option<Spool> {
    let (directory, source_key) = (directory.to_owned(), "node/trace".to_owned());
    let (sync, run) = (SyncPolicy::Never, [run; 16]);
    let config = SpoolConfig { directory, source_key, bytes_max: 1 << 20, sync, run, opened_ms: NOW_MS };
    Spool::open(&config).ok()
}

/// Reads a spool to its end behind whatever is there: what is appended now is there then, and comes last.
fn read_on(directory: &std::path::Path) {
    let Some(mut spool) = open(directory, 2) else { return };
    let newest = spool.append(b"newest", Duration::ZERO).expect("there is room");
    let mut last = None;
    while let Some(spooled) = spool.first().expect("it can be read") {
        last = Some(spooled.id);
        spool.let_first_go().expect("it can be written");
    }
    assert_eq!(last, Some(newest));
    assert!(spool.is_empty());
}

/// Hands over what lies in a spool, or says why not.
fn hand_over(directory: &std::path::Path) {
    let keys = Keys {
        pseudonymizer: Pseudonymizer::new([1; 32], 1),
        sealer: Sealer::new(1, &[2; 32], [9; 32]).expect("it is a key"),
    };
    let config = TraceConfig {
        source: "trace".into(),
        node: "node".into(),
        tenant: "default".into(),
        keep_text: false,
        batch_events: 1_000,
        run: [3; 16],
    };
    let log = MemoryLog::new(1);
    let (wire, spool) = (Arc::new(Wire::new()), open(directory, 3));
    let (_source, mut handover) =
        TraceSource::open(&*log, &config, spool, keys, wire, Arc::new(Silent), Arc::new(|| NOW_MS)).expect("it opens");
    let _ = handover.commit();
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    DIRECTORY.with(|directory| {
        let _ = fs::remove_dir_all(directory);
        let file = directory.join("0000000000000001.spool");
        match kind % 4 {
            // The input is a segment.
            0 => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).expect("it is memory");
                fs::write(&file, rest).expect("there is room");
            }
            // The input is a batch.
            1 => {
                let mut spool = open(directory, 1).expect("it is new");
                spool.append(rest, Duration::ZERO).expect("there is room");
                drop(spool);
                return hand_over(directory);
            }
            // The input is written over a segment of records, and its end cut.
            _ => {
                let mut spool = open(directory, 1).expect("it is new");
                for length in [0, 9, 40] {
                    spool.append(&vec![7; length], Duration::ZERO).expect("there is room");
                }
                drop(spool);
                let mut bytes = fs::read(&file).expect("it is there");
                let Some((at, patch)) = rest.split_first() else { return };
                for (byte, patched) in bytes.iter_mut().skip(usize::from(*at)).zip(patch) {
                    *byte = *patched;
                }
                if kind % 4 == 3 {
                    bytes.truncate(usize::from(*at) + patch.len());
                }
                fs::write(&file, bytes).expect("there is room");
            }
        }
        read_on(directory);
        hand_over(directory);
    });
});
