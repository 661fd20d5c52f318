//! What a tap hears of connections: HTTP/1, its framing and streams of events, or frames and header blocks of
//! HTTP/2, split and torn as the input says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::sync::Arc;
use weir_collector::trace::{Chunk, ConnectionId, Heard, Way};
use weir_collector::{Keys, Pseudonymizer, Sealer, TraceConfig, TraceSource};
use weir_schemas::wire::Wire;
use weir_topology::memory::MemoryLog;
use weir_topology::telemetry::Silent;

const NOW_MS: i64 = 1_795_300_000_000;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn source() -> TraceSource {
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
        run: [1; 16],
    };
    let log: &'static Arc<MemoryLog> = Box::leak(Box::new(MemoryLog::new(1)));
    let wire = Arc::new(Wire::new());
    let (source, _) =
        TraceSource::open(&**log, &config, None, keys, wire, Arc::new(Silent), Arc::new(|| NOW_MS))
            .expect("it opens");
    source
}

thread_local! {
    // One for all inputs, which have a connection each: making keys takes longer than reading.
    static SOURCE: RefCell<(TraceSource, u64)> = RefCell::new((source(), 0));
}

fuzz_target!(|input: &[u8]| {
    SOURCE.with_borrow_mut(|(source, connection)| {
        *connection += 1;
        let id = ConnectionId(*connection);
        let (mut rest, mut offsets) = (input, [0u64; 2]);
        // What follows is of HTTP/2.
        if let Some(frames) = input.strip_prefix(b"2") {
            let offset = PREFACE.len() as u64;
            let way = Way::Received;
            source.hear(Heard::Chunk(Chunk {
                connection: id,
                way,
                offset: 0,
                bytes: PREFACE,
                length: offset,
                time_ms: NOW_MS,
            }));
            (rest, offsets[0]) = (frames, offset);
        }
        // A message: which way, what is missing before it and behind what was copied, and its bytes.
        while let [how, size, tail @ ..] = rest {
            let (bytes, next) = tail.split_at(usize::from(*size).min(tail.len()));
            rest = next;
            let way = if how & 1 == 0 { Way::Received } else { Way::Sent };
            let offset = &mut offsets[usize::from(how & 1)];
            *offset += u64::from(how >> 1 & 7) / 5;
            let length = bytes.len() as u64 + u64::from(how >> 4 & 15) / 13;
            source.hear(Heard::Chunk(Chunk {
                connection: id,
                way,
                offset: *offset,
                bytes,
                length,
                time_ms: NOW_MS,
            }));
            *offset += length;
        }
        source.hear(Heard::Closed(id));
    });
});
