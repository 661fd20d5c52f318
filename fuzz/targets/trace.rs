//! What a tap hears of connections: HTTP/1, its framing and streams of events, split and torn as the input says.
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

fn source() -> TraceSource<'static> {
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
    TraceSource::open(&**log, &config, keys, wire, Arc::new(Silent), Arc::new(|| NOW_MS)).expect("it opens")
}

thread_local! {
    // One for all inputs, which have a connection each: making keys takes longer than reading.
    static SOURCE: RefCell<(TraceSource<'static>, u64)> = RefCell::new((source(), 0));
}

fuzz_target!(|input: &[u8]| {
    SOURCE.with_borrow_mut(|(source, connection)| {
        *connection += 1;
        let id = ConnectionId(*connection);
        let (mut rest, mut offsets) = (input, [0u64; 2]);
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
