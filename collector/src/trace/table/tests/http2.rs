//! HTTP/2: streams that interleave, header blocks that refer to earlier ones, and whatever a client may do to
//! hide.

use super::*;
use crate::limits::{TRACE_BLOCK_BYTES_MAX, TRACE_HEAD_BYTES_MAX, TRACE_STREAMS_MAX};
use loona_hpack::Encoder;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITISED: u8 = 0x20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// One end of a connection.
struct End(Encoder<'static>);

impl Default for End {
    fn default() -> Self {
        Self(Encoder::new())
    }
}

impl End {
    fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        self.0.encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    /// The head of a request in one frame.
    fn asks(&mut self, stream: u32, path: &str, key: &str, flags: u8) -> Vec<u8> {
        let fields = [
            (":method", "POST"),
            (":authority", "model.example.com"),
            (":scheme", "https"),
            (":path", path),
            ("authorization", key),
            ("user-agent", "ua"),
        ];
        frame(HEADERS, END_HEADERS | flags, stream, &self.block(&fields))
    }

    fn answers(&mut self, stream: u32, status: &str, flags: u8) -> Vec<u8> {
        frame(HEADERS, END_HEADERS | flags, stream, &self.block(&[(":status", status)]))
    }
}

/// What a client begins with, as a browser does.
fn opening() -> Vec<u8> {
    let settings = [0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
    let window = 15_663_105u32.to_be_bytes();
    [PREFACE, &frame(SETTINGS, 0, 0, &settings), &frame(WINDOW, 0, 0, &window)].concat()
}

impl Bench {
    fn client(&mut self, bytes: &[u8]) {
        self.chunk(1, Way::Received, bytes, usize::MAX, true);
    }

    fn server(&mut self, bytes: &[u8]) {
        self.chunk(1, Way::Sent, bytes, usize::MAX, true);
    }
}

#[test]
fn every_stream_is_an_exchange_however_they_interleave() {
    let (mut bench, mut client, mut server) = (Bench::default(), End::default(), End::default());
    // A server may speak first.
    bench.server(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 128]));
    bench.client(&opening());
    bench.client(&client.asks(1, "/1", "Bearer sk-a", 0));
    bench.client(&client.asks(3, "/3", "Bearer sk-b", 0));
    bench.client(&frame(DATA, 0, 1, b"fir"));
    bench.client(&frame(DATA, END_STREAM, 3, b"second"));
    bench.client(&frame(DATA, END_STREAM, 1, b"st"));
    bench.server(&server.answers(3, "100", 0));
    bench.server(&server.answers(3, "201", 0));
    let head = server.block(&[(":status", "200"), ("content-type", "text/event-stream")]);
    bench.server(&frame(HEADERS, END_HEADERS, 1, &head));
    bench.server(&frame(DATA, 0, 1, b"data: {\"usage\":{\"completion_"));
    bench.server(&frame(DATA, END_STREAM, 3, b"yes"));
    bench.server(&frame(DATA, 0, 1, b"tokens\":4}}\n\n"));
    bench.server(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &server.block(&[("grpc-status", "0")])));
    // What was said before is referred to.
    bench.client(&client.asks(5, "/1", "Bearer sk-a", END_STREAM));
    bench.server(&server.answers(5, "204", END_STREAM));
    bench.check(expect![[r#"
        b /3 [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "second" Some((201, 3, true, "yes"))
        a /1 [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "first" Some((200, 41, true, "data: {\"usage\":{\"completion_tokens\":4}}\n"))
        a /1 [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "" Some((204, 0, true, ""))
        hello_shared 1
    "#]]);
}

#[test]
fn padding_priorities_promises_and_blocks_in_many_frames_are_read() {
    let (mut bench, mut client, mut server) = (Bench::default(), End::default(), End::default());
    bench.client(&opening());
    bench.client(&frame(PRIORITY, 0, 3, &[0x80, 0, 0, 0, 200]));
    let block = client.block(&[(":path", "/1"), (":method", "POST"), ("x-api-key", "a")]);
    let (first, rest) = block.split_at(3);
    let (second, third) = rest.split_at(2);
    let first = [&[2, 0, 0, 0, 0, 7], first, &[0, 0]].concat();
    bench.client(&frame(HEADERS, PADDED | PRIORITISED, 1, &first));
    bench.client(&frame(CONTINUATION, 0, 1, second));
    bench.client(&frame(CONTINUATION, END_HEADERS, 1, third));
    bench.client(&frame(PING, 0, 0, &[0; 8]));
    bench.client(&frame(0xf0, 0xff, 9, b"a frame of which nobody knows"));
    bench.client(&frame(DATA, PADDED, 1, b"\x03hi___"));
    bench.client(&frame(DATA, PADDED | END_STREAM, 1, b"\0"));
    bench.server(&frame(SETTINGS, END_STREAM, 0, &[]));
    let promise = [&[0, 0, 0, 2][..], &server.block(&[(":path", "/2"), ("x", "y")])].concat();
    bench.server(&frame(PROMISE, END_HEADERS, 1, &promise));
    let block = server.block(&[(":status", "200"), ("x", "y")]);
    bench.server(&frame(HEADERS, END_HEADERS, 1, &block));
    bench.server(&frame(DATA, END_STREAM, 1, b""));
    bench.server(&frame(GOAWAY, 0, 0, &[0; 8]));
    bench.check(expect![[r#"
        a /1 [1:65536;2:0|15663105|3:1:0:201|p,m x-api-key] "hi" Some((200, 0, true, ""))
    "#]]);
}

#[test]
fn what_was_not_heard_of_a_body_costs_the_body_and_elsewhere_the_rest_of_the_direction() {
    let (mut bench, mut client, mut server) = (Bench::default(), End::default(), End::default());
    bench.client(&opening());
    bench.client(&client.asks(1, "/1", "Bearer sk-a", 0));
    let body = frame(DATA, END_STREAM, 1, b"abcdefghij");
    bench.chunk(1, Way::Received, &body, 9 + 4, true);
    bench.server(&server.answers(1, "200", END_STREAM));
    bench.client(&client.asks(3, "/3", "Bearer sk-b", END_STREAM));
    bench.chunk(1, Way::Sent, &server.answers(3, "200", END_STREAM), 99, false);
    bench.client(&client.asks(5, "/5", "Bearer sk-c", END_STREAM));
    bench.server(&server.answers(5, "200", END_STREAM));
    bench.client(&client.asks(7, "/7", "Bearer sk-d", 0));
    bench.chunk(1, Way::Received, &client.asks(9, "/9", "Bearer sk-e", END_STREAM), 99, false);
    bench.client(&client.asks(11, "/11", "Bearer sk-f", END_STREAM));
    bench.close();
    // Of what is not known to be whole nothing is made up; requests are events though no response can be read
    // any more.
    bench.check(expect![[r#"
        a /1 [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "abcd" Some((200, 0, true, ""))
        b /3 [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "" None
        c /5 [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "" None
        gap_bytes 63
        cut_bytes 6
        unsynced_bytes 64
        request 2
        response 1
        hello_shared 1
    "#]]);
}

#[test]
fn a_stream_that_is_given_up_is_what_was_heard_of_it() {
    let (mut bench, mut client, mut server) = (Bench::default(), End::default(), End::default());
    bench.client(&opening());
    let reset = |stream| frame(RESET, 0, stream, &[0, 0, 0, 8]);
    bench.client(&client.asks(1, "/unasked", "Bearer sk-a", 0));
    bench.client(&reset(1));
    bench.client(&client.asks(3, "/unanswered", "Bearer sk-b", END_STREAM));
    bench.client(&reset(3));
    bench.client(&client.asks(5, "/half", "Bearer sk-c", END_STREAM));
    bench.server(&server.answers(5, "200", 0));
    bench.server(&frame(DATA, 0, 5, b"ha"));
    bench.client(&reset(5));
    bench.client(&client.asks(7, "/early", "Bearer sk-d", 0));
    bench.server(&server.answers(7, "413", END_STREAM));
    bench.server(&reset(7));
    bench.client(&client.asks(9, "/nobody", "", END_STREAM));
    bench.server(&server.answers(9, "401", END_STREAM));
    bench.server(&server.answers(99, "200", END_STREAM));
    bench.check(expect![[r#"
        b /unanswered [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "" None
        c /half [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "" Some((200, 2, false, "ha"))
        d /early [1:65536;2:0|15663105|0|m,a,s,p authorization,user-agent] "" Some((413, 0, true, ""))
        request 1
        response 1
        orphan 1
        unanswered 1
        anonymous 1
        hello_shared 1
    "#]]);
}

#[test]
fn no_client_makes_it_hold_more_than_a_head_or_follow_more_streams_than_servers_allow() {
    // A field in the table, and a block that names it again and again: few bytes that stand for many.
    let (mut bench, mut client) = (Bench::default(), End::default());
    bench.client(&opening());
    bench.client(&client.asks(1, "/1", "Bearer sk-a", END_STREAM));
    let value = "x".repeat(3_000);
    let mut bomb = client.block(&[(":path", "/bomb"), ("x", &value)]);
    bomb.extend([0x80 | 62; 300_000]);
    bench.client(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &bomb));
    assert!(bench.table.held < 6_000, "{}", bench.table.held);
    bench.client(&client.asks(5, "/5", "Bearer sk-a", END_STREAM));
    assert_eq!(bench.losses.of(Loss::Request), 1);
    bench.close();
    assert_eq!(bench.seen.len(), 2, "what came before and behind it is heard");

    // A table that grows without end, a block without end, a table's entry that is none, and frames between.
    let too_large = frame(HEADERS, END_HEADERS, 1, &[0x3f, 0xff, 0xff, 0xff, 0x7f, 0x82]);
    let endless = [
        frame(HEADERS, 0, 1, &[0; 16_384]),
        frame(CONTINUATION, 0, 1, &[0; 16_384]).repeat(TRACE_BLOCK_BYTES_MAX / 16_384),
    ];
    let none = frame(HEADERS, END_HEADERS, 1, &[0x80 | 70]);
    let between = [frame(HEADERS, 0, 1, &[0x82]), frame(DATA, 0, 1, b"x")];
    let alone = frame(CONTINUATION, END_HEADERS, 1, &[0x82]);
    let padded = frame(DATA, PADDED, 1, &[9, 0]);
    for bytes in [too_large, endless.concat(), none, between.concat(), alone, padded] {
        let mut bench = Bench::default();
        bench.client(&opening());
        bench.client(&bytes);
        bench.client(&End::default().asks(3, "/3", "Bearer sk-a", END_STREAM));
        assert!(bench.table.held < TRACE_HEAD_BYTES_MAX);
        assert_eq!((bench.losses.of(Loss::Request), bench.seen.len()), (1, 0));
    }

    let (mut bench, mut client) = (Bench::default(), End::default());
    bench.client(&opening());
    for stream in 0..TRACE_STREAMS_MAX as u32 + 9 {
        bench.client(&client.asks(2 * stream + 1, "/", "Bearer sk-a", END_STREAM));
    }
    assert_eq!(bench.losses.of(Loss::Request), 9);
    bench.close();
    assert_eq!(bench.seen.len(), TRACE_STREAMS_MAX);
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same(
        sizes in proptest::collection::vec(1usize..60, 1..60),
    ) {
        let (mut client, mut server) = (End::default(), End::default());
        let requests = [
            opening(),
            client.asks(1, "/1", "Bearer sk-a", 0),
            frame(DATA, PADDED, 1, b"\x02hello__"),
            client.asks(3, "/3", "Bearer sk-b", END_STREAM),
            frame(DATA, END_STREAM, 1, b" world"),
        ]
        .concat();
        let responses = [
            frame(SETTINGS, 0, 0, &[]),
            server.answers(3, "200", 0),
            server.answers(1, "201", END_STREAM),
            frame(DATA, END_STREAM, 3, b"fine"),
        ]
        .concat();
        let heard = |sizes: &[usize]| {
            let mut bench = Bench::default();
            for (way, bytes) in [(Way::Received, &requests), (Way::Sent, &responses)] {
                let (mut rest, mut sizes) = (&bytes[..], sizes.iter().cycle());
                // What a server's direction speaks is told by how it begins, which is one frame.
                let mut least = if way == Way::Sent { 9 } else { 1 };
                while !rest.is_empty() {
                    let size = sizes.next().copied().unwrap_or(1).max(least).min(rest.len());
                    let (chunk, behind) = rest.split_at(size);
                    bench.chunk(1, way, chunk, usize::MAX, true);
                    (rest, least) = (behind, 1);
                }
            }
            (bench.seen, bench.losses)
        };
        let whole = heard(&[usize::MAX]);
        prop_assert_eq!(whole.0.len(), 2);
        prop_assert_eq!(heard(&sizes), whole);
    }
}
