use super::*;
use crate::trace::exchange::ReplyBody;
use crate::trace::heard::Way;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use weir_schemas::AccountId;

mod http2;

/// What was heard of one exchange, for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    who: u8,
    target: String,
    headers: String,
    body: String,
    reply: Option<(u16, u64, bool, String)>,
}

#[derive(Default)]
struct Bench {
    table: Table,
    losses: Losses,
    seen: Vec<Seen>,
    /// Of each, whether its client's fingerprints go with it.
    are_fingerprinted: Vec<bool>,
    offsets: HashMap<(u64, bool), u64>,
    /// Clients' hellos are not heard, but for those that the test tells.
    is_without_hellos: bool,
}

impl Bench {
    fn hear(&mut self, heard: Heard<'_>) {
        let Self { table, losses, seen, are_fingerprinted, .. } = self;
        // The last letter of a key is who it is.
        let mut hide = |account: &str| Hidden::of_test(AccountId([account.bytes().last().unwrap(); 16]));
        let mut done = |exchange: Exchange, surroundings: &Surroundings, _: &mut Losses| {
            are_fingerprinted.push(surroundings.fingerprint().is_some());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let names: Vec<String> = exchange.headers.iter().map(|name| text(name)).collect();
            seen.push(Seen {
                who: exchange.who.unwrap().account.0[0],
                target: text(&exchange.target),
                headers: [text(exchange.h2.as_bytes()), names.join(",")].join(" ").trim_start().to_owned(),
                body: text(&exchange.body),
                reply: exchange.reply.map(|reply| {
                    let body = match reply.body {
                        ReplyBody::Plain(body, _) => text(&body),
                        ReplyBody::Events(events) => text(&events.finish().0),
                        ReplyBody::Unkept => "unkept".to_owned(),
                    };
                    (reply.status, reply.bytes, reply.ended_ms.is_some(), body)
                }),
            });
        };
        table.hear(heard, losses, &mut hide, &mut done);
    }

    /// A message of which the tap copies at most `cap` bytes; or of which it hands nothing on.
    fn chunk(&mut self, connection: u64, way: Way, bytes: &[u8], cap: usize, is_heard: bool) {
        let is_known = [true, false].iter().any(|is_sent| self.offsets.contains_key(&(connection, *is_sent)));
        if !is_known && !self.is_without_hellos {
            self.hear(Heard::Peer(ConnectionId(connection), [203, 0, 113, 9].into()));
            self.hear(Heard::Hello(ConnectionId(connection), 0, &crate::trace::hello::tests::a_hello()));
        }
        let at = self.offsets.entry((connection, way == Way::Sent)).or_default();
        let offset = *at;
        *at += bytes.len() as u64;
        if is_heard && !bytes.is_empty() {
            let (length, bytes) = (bytes.len() as u64, &bytes[..bytes.len().min(cap)]);
            let connection = ConnectionId(connection);
            self.hear(Heard::Chunk(Chunk { connection, way, offset, bytes, length, time_ms: 5 }));
        }
    }

    fn received(&mut self, text: &str) {
        self.chunk(1, Way::Received, text.as_bytes(), usize::MAX, true);
    }

    fn sent(&mut self, text: &str) {
        self.chunk(1, Way::Sent, text.as_bytes(), usize::MAX, true);
    }

    fn close(&mut self) {
        self.hear(Heard::Closed(ConnectionId(1)));
    }

    fn check(&self, expected: Expect) {
        let mut text = String::new();
        for Seen { who, target, headers, body, reply } in &self.seen {
            text += &format!("{} {target} [{headers}] {body:?} {reply:?}\n", char::from(*who));
        }
        for (loss, count) in self.losses.iter() {
            text += &format!("{} {count}\n", loss.as_str());
        }
        expected.assert_eq(&text);
    }
}

#[test]
fn a_request_and_its_response_are_one_exchange() {
    let mut bench = Bench::default();
    bench.received(
        "POST /v1/x HTTP/1.1\r\nHost: a\r\nauthorization: Bearer sk-a\r\nContent-Length: 2\r\n\r\nhi",
    );
    bench.sent("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
    bench.check(expect![[r#"
        a /v1/x [Host,authorization,Content-Length] "hi" Some((200, 3, true, "yes"))
    "#]]);
}

#[test]
fn no_client_hides_behind_a_head_that_servers_take() {
    let many: String = (0..700).map(|number| format!("x-{number}: y\r\n")).collect();
    let heads = [
        format!("POST /many HTTP/1.1\r\n{many}"),
        "POST /no-header HTTP/1.1\r\nno header\r\n".to_owned(),
        "POST /bad-name HTTP/1.1\r\nbad name: x\r\n: x\r\n\u{e4}: x\r\n".to_owned(),
        "POST /bad-value HTTP/1.1\r\nx: a\u{1}b\u{7f}\r\n".to_owned(),
        "POST  /spaces  HTTP/1.1\r\n".to_owned(),
        "POST /\u{e4}?q={}|^ HTTP/1.1\r\n".to_owned(),
        "POST /bare HTTP/1.1\n".to_owned(),
    ];
    let mut bench = Bench::default();
    for head in &heads {
        bench.received(&format!("{head}X-Api-Key: a\r\nContent-Length: 2\r\n\r\nhi"));
        bench.sent("HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 0\r\n\r\n");
    }
    let heard: Vec<_> =
        bench.seen.iter().map(|seen| (seen.who, seen.target.as_str(), seen.body.as_str())).collect();
    let expected = ["/many", "/no-header", "/bad-name", "/bad-value", "/spaces", "/\u{e4}?q={}|^", "/bare"];
    assert_eq!(heard, expected.map(|target| (b'a', target, "hi")));
}

#[test]
fn a_client_is_listened_to_like_a_server() {
    let mut bench = Bench::default();
    bench.sent("GET / HTTP/1.1\r\nx-api-key: k-b\r\n\r\n");
    bench.received("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
    bench.check(expect![[r#"
        b / [x-api-key] "" Some((200, 3, true, "yes"))
    "#]]);
}

#[test]
fn interim_responses_are_none_and_heads_have_no_bodies() {
    let mut bench = Bench::default();
    bench.received("POST /1 HTTP/1.1\r\nx-api-key: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    bench.sent("HTTP/1.1 100 Continue\r\n\r\n");
    bench.received("hi");
    bench
        .sent("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    bench.received("HEAD /2 HTTP/1.1\r\nx-api-key: a\r\n\r\n");
    bench.sent("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    bench.received("GET /3 HTTP/1.1\r\nx-api-key: a\r\n\r\n");
    bench.sent("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    bench.check(expect![[r#"
        a /1 [x-api-key,Expect,Content-Length] "hi" Some((201, 0, true, ""))
        a /2 [x-api-key] "" Some((200, 0, true, ""))
        a /3 [x-api-key] "" Some((304, 0, true, ""))
    "#]]);
}

#[test]
fn chunks_with_extensions_and_trailers_are_a_body_and_a_stream_is_its_telling_events() {
    let mut bench = Bench::default();
    bench.received("POST /1 HTTP/1.1\r\nx-api-key: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\nA\r\n, and more\r\n0\r\nT: 1\r\n\r\n");
    bench.sent("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n");
    bench.sent("1c\r\ndata: {\"choices\":[{\"delta\":{\r\n");
    bench.sent("2f\r\n}}]}\n\ndata: {\"usage\":{\"completion_tokens\":4}}\n\n\r\n0\r\n\r\n");
    bench.check(expect![[r#"
        a /1 [x-api-key,Transfer-Encoding] "hi, and more" Some((200, 75, true, "data: {\"usage\":{\"completion_tokens\":4}}\n"))
    "#]]);
}

#[test]
fn a_response_without_a_length_ends_with_its_connection() {
    let mut bench = Bench::default();
    bench.received("GET / HTTP/1.0\r\nx-api-key: a\r\n\r\n");
    bench.sent("HTTP/1.0 200 OK\r\n\r\nuntil");
    bench.sent(" the end");
    assert_eq!(bench.seen, []);
    bench.close();
    bench.check(expect![[r#"
        a / [x-api-key] "" Some((200, 13, true, "until the end"))
    "#]]);
}

#[test]
fn what_follows_an_upgrade_is_no_http() {
    let mut bench = Bench::default();
    bench.received("GET /ws HTTP/1.1\r\nx-api-key: a\r\nUpgrade: websocket\r\n\r\n");
    bench.sent("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    bench.received("GET /no HTTP/1.1\r\nx-api-key: b\r\n\r\n");
    bench.close();
    bench.check(expect![[r#"
        a /ws [x-api-key,Upgrade] "" Some((101, 0, true, ""))
    "#]]);
}

#[test]
fn a_request_without_a_credential_is_nobodys_and_without_a_response_it_is_an_event_all_the_same() {
    let mut bench = Bench::default();
    bench.received("GET /health HTTP/1.1\r\n\r\n");
    bench.sent("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    bench.received("GET /slow HTTP/1.1\r\nAuthorization: Bearer\r\nAuthorization: Bearer sk-c\r\n\r\n");
    bench.close();
    bench.check(expect![[r#"
        c /slow [Authorization,Authorization] "" None
        unanswered 1
        anonymous 1
    "#]]);
}

#[test]
fn a_framing_that_contradicts_itself_is_not_guessed_at() {
    for framing in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1, 2",
        "Content-Length: +1",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, gzip",
    ] {
        let mut bench = Bench::default();
        bench.received(&format!("POST / HTTP/1.1\r\nx-api-key: a\r\n{framing}\r\n\r\nabcdef"));
        bench.close();
        bench.check(expect![[r#"
            unsynced_bytes 6
            request 1
        "#]]);
    }
}

#[test]
fn listening_begins_with_the_first_message_that_is_heard_from_its_beginning() {
    let mut bench = Bench::default();
    bench.received("rest of a body");
    bench.sent("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    bench.received("GET / HTTP/1.1\r\nx-api-key: a\r\n\r\n");
    bench.sent("HTTP/1.1 204 No Content\r\n\r\n");
    bench.check(expect![[r#"
        a / [x-api-key] "" Some((204, 0, true, ""))
        unsynced_bytes 14
        orphan 1
    "#]]);
}

#[test]
fn a_response_that_was_not_heard_is_not_that_of_another_request() {
    let mut bench = Bench::default();
    bench.received("GET /1 HTTP/1.1\r\nx-api-key: a\r\n\r\n");
    bench.chunk(1, Way::Sent, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 99, false);
    bench.received("GET /2 HTTP/1.1\r\nx-api-key: a\r\n\r\n");
    bench.sent("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    bench.received("GET /3 HTTP/1.1\r\nx-api-key: a\r\n\r\n");
    bench.sent("HTTP/1.1 203 OK\r\nContent-Length: 0\r\n\r\n");
    bench.check(expect![[r#"
        a /1 [x-api-key] "" None
        a /2 [x-api-key] "" None
        a /3 [x-api-key] "" Some((203, 0, true, ""))
        gap_bytes 38
        orphan 1
    "#]]);
}

#[test]
fn a_body_goes_on_behind_what_was_not_copied_and_only_its_beginning_is_known() {
    let mut bench = Bench::default();
    bench.received("POST / HTTP/1.1\r\nx-api-key: a\r\nContent-Length: 26\r\n\r\n");
    bench.chunk(1, Way::Received, b"abcdefghijklm", 4, true);
    bench.chunk(1, Way::Received, b"nopqrstuvwxyz", 99, true);
    bench.sent("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    bench.check(expect![[r#"
        a / [x-api-key,Content-Length] "abcd" Some((200, 2, true, "ok"))
        cut_bytes 9
        body_bytes 13
    "#]]);
}

#[test]
fn memory_is_bounded_and_who_was_silent_for_longest_is_forgotten_first() {
    let mut bench = Bench { table: Table { connections_max: 2, ..Table::default() }, ..Bench::default() };
    let head = b"POST / HTTP/1.1\r\nx-api-key: a\r\n\r\n";
    for connection in [1, 2, 1, 3] {
        bench.chunk(connection, Way::Received, head, 99, true);
    }
    assert_eq!(bench.table.entries.len(), 2);
    assert!(!bench.table.entries.contains_key(&ConnectionId(2)));
    assert_eq!((bench.losses.of(Loss::Forgotten), bench.losses.of(Loss::Unanswered)), (1, 1));
    assert_eq!(bench.seen.len(), 1, "what was heard of it is an event");

    let mut bench = Bench { table: Table { held_max: 1_200, ..Table::default() }, ..Bench::default() };
    let head = format!("POST / HTTP/1.1\r\nx-api-key: a\r\nContent-Length: 900\r\n\r\n{}", "x".repeat(300));
    for connection in 0..9 {
        bench.chunk(connection, Way::Received, head.as_bytes(), 999, true);
        assert!(bench.table.held <= 1_200);
    }
    assert_eq!(bench.table.entries.len(), 3);
    assert_eq!((bench.losses.of(Loss::Forgotten), bench.losses.of(Loss::Request)), (6, 6));
}

#[test]
fn that_a_clients_hello_or_its_address_is_not_known_is_counted_once_a_connection_and_by_why() {
    let mut bench = Bench { is_without_hellos: true, ..Bench::default() };
    let ask = "POST / HTTP/1.1\r\nx-api-key: a\r\nContent-Length: 0\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let known = crate::trace::hello::tests::a_hello();
    // Known in two pieces, torn, not heard of; and one that is the process's own.
    bench.hear(Heard::Hello(ConnectionId(1), 0, &known[..5]));
    bench.hear(Heard::Hello(ConnectionId(1), 5, &known[5..]));
    bench.hear(Heard::Hello(ConnectionId(2), 0, &known[..5]));
    bench.hear(Heard::Peer(ConnectionId(2), [203, 0, 113, 9].into()));
    for connection in 1..5 {
        let ways = if connection == 4 { [Way::Sent, Way::Received] } else { [Way::Received, Way::Sent] };
        for _ in 0..2 {
            bench.chunk(connection, ways[0], ask.as_bytes(), 999, true);
            bench.chunk(connection, ways[1], answer.as_bytes(), 999, true);
        }
    }
    assert_eq!(bench.seen.len(), 8);
    let losses: Vec<_> = bench.losses.iter().collect();
    assert_eq!(
        losses,
        [
            (Loss::HelloUnheard, 1),
            (Loss::HelloUnread, 1),
            (Loss::AddressUnheard, 1),
            (Loss::AddressUntold, 1)
        ]
    );
}

#[test]
fn a_connection_that_carries_several_accounts_is_somebody_elses_and_its_fingerprint_nobodys() {
    let mut bench = Bench::default();
    let mut ask = |connection: u64, who: &str, status: u16| {
        let ask = format!("POST / HTTP/1.1\r\nx-api-key: {who}\r\nContent-Length: 0\r\n\r\n");
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        bench.chunk(connection, Way::Received, ask.as_bytes(), 999, true);
        bench.chunk(connection, Way::Sent, answer.as_bytes(), 999, true);
        *bench.are_fingerprinted.last().unwrap()
    };
    // With a key that was refused nobody came.
    let of_proxy = [("x", 401), ("a", 200), ("y", 401), ("a", 200), ("b", 200), ("a", 200), ("c", 200)];
    assert_eq!(
        of_proxy.map(|(who, status)| ask(1, who, status)),
        [true, true, true, true, false, false, false]
    );
    assert_eq!([ask(2, "b", 200), ask(2, "b", 429)], [true, true], "it is one connection's alone");
    assert_eq!(bench.losses.iter().collect::<Vec<_>>(), [(Loss::HelloShared, 1)]);
}

#[test]
fn hellos_without_end_have_no_body_forgotten() {
    let mut bench = Bench { table: Table { held_max: 400, ..Table::default() }, ..Bench::default() };
    bench.received("POST / HTTP/1.1\r\nx-api-key: a\r\nContent-Length: 302\r\n\r\n");
    bench.received(&"x".repeat(300));
    for connection in 2..100 {
        // They say that more is to come.
        let begun = [&[22, 3, 1, 15, 255, 1, 0, 15, 251, 3, 3][..], &[7; 200]].concat();
        bench.hear(Heard::Hello(ConnectionId(connection), 0, &begun));
    }
    bench.received("yz");
    bench.sent("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(bench.table.entries.len(), 99);
    assert_eq!((bench.seen.len(), bench.seen[0].body.len()), (1, 302));
    assert_eq!(bench.losses, Losses::default());
}

#[test]
fn heads_without_end_and_pipelines_without_end_are_lost_and_counted() {
    let mut bench = Bench::default();
    bench.received("GET / HTTP/1.1\r\n");
    (0..200).for_each(|_| bench.received(&format!("x: {}\r\n", "y".repeat(1_000))));
    assert_eq!(bench.losses.of(Loss::Request), 1);
    assert!(bench.table.held < 1_000);
    let mut bench = Bench::default();
    (0..100).for_each(|_| bench.received("GET / HTTP/1.1\r\nx-api-key: a\r\n\r\n"));
    assert_eq!(bench.losses.of(Loss::Request), 36);
    bench.close();
    assert_eq!(bench.seen.len(), 64);
}

/// An exchange that is sent, with all that is to be heard of it.
#[derive(Debug, Clone)]
struct Sent {
    request: Vec<u8>,
    response: Vec<u8>,
    seen: Seen,
}

fn framed(body: &str, sizes: &[usize], is_chunked: bool) -> (String, String) {
    if !is_chunked {
        return (format!("Content-Length: {}\r\n", body.len()), body.to_owned());
    }
    let (mut rest, mut text) = (body, String::new());
    for size in sizes {
        let (head, tail) = rest.split_at((*size).min(rest.len()));
        if !head.is_empty() {
            text += &format!("{:x};e=1\r\n{head}\r\n", head.len());
        }
        rest = tail;
    }
    if !rest.is_empty() {
        text += &format!("{:X}\r\n{rest}\r\n", rest.len());
    }
    ("Transfer-Encoding: chunked\r\n".to_owned(), text + "0\r\n\r\n")
}

fn sent(index: usize) -> impl Strategy<Value = Sent> {
    let sizes = || proptest::collection::vec(1usize..9, 0..5);
    ("[a-z]", "[a-z\\{\\}\r\n]{0,40}", sizes(), any::<bool>(), "[a-z\r\n]{0,40}", sizes(), any::<bool>(), 200u16..600)
        .prop_map(move |(who, body, sizes, is_chunked, answer, answer_sizes, is_answer_chunked, status)| {
            let status = if status == 204 || status == 304 { 200 } else { status };
            let (framing, text) = framed(&body, &sizes, is_chunked);
            let request = format!("POST /{index} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk-{who}\r\n{framing}\r\n{text}");
            let (framing, text) = framed(&answer, &answer_sizes, is_answer_chunked);
            let response = format!("HTTP/1.1 {status} X\r\n{framing}\r\n{text}");
            let name = if is_chunked { "Transfer-Encoding" } else { "Content-Length" };
            let seen = Seen {
                who: who.as_bytes()[0],
                target: format!("/{index}"),
                headers: format!("Host,Authorization,{name}"),
                body,
                reply: Some((status, answer.len() as u64, true, answer)),
            };
            Sent { request: request.into(), response: response.into(), seen }
        })
}

fn conversation() -> impl Strategy<Value = (Vec<Sent>, bool)> {
    (1usize..6, any::<bool>())
        .prop_flat_map(|(count, is_pipelined)| ((0..count).map(sent).collect::<Vec<_>>(), Just(is_pipelined)))
}

/// Sends all of it in messages of these sizes, of which some are not handed on.
fn send(bench: &mut Bench, exchanges: &[Sent], is_pipelined: bool, messages: &[(usize, bool)]) {
    let mut messages = messages.iter().copied().chain(std::iter::repeat((7, true)));
    let mut say = |way, mut bytes: &[u8]| {
        while !bytes.is_empty() {
            let (size, is_heard) = messages.next().unwrap();
            let (head, tail) = bytes.split_at(size.min(bytes.len()));
            bench.chunk(1, way, head, usize::MAX, is_heard);
            bytes = tail;
        }
    };
    if is_pipelined {
        exchanges.iter().for_each(|exchange| say(Way::Received, &exchange.request));
        exchanges.iter().for_each(|exchange| say(Way::Sent, &exchange.response));
    } else {
        for exchange in exchanges {
            say(Way::Received, &exchange.request);
            say(Way::Sent, &exchange.response);
        }
    }
    bench.close();
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_exchanges(
        (exchanges, is_pipelined) in conversation(),
        sizes in proptest::collection::vec(1usize..60, 0..200),
    ) {
        let mut bench = Bench::default();
        let messages: Vec<_> = sizes.into_iter().map(|size| (size, true)).collect();
        send(&mut bench, &exchanges, is_pipelined, &messages);
        let expected: Vec<Seen> = exchanges.into_iter().map(|exchange| exchange.seen).collect();
        prop_assert_eq!(&bench.seen, &expected);
        // Of several accounts no fingerprint is told; nothing else is lost.
        let let_in = bench.seen.iter().filter(|seen| seen.reply.as_ref().is_none_or(|reply| reply.0 != 401));
        let accounts: std::collections::BTreeSet<u8> = let_in.map(|seen| seen.who).collect();
        let mut losses = Losses::default();
        losses.add(Loss::HelloShared, u64::from(accounts.len() > 1));
        prop_assert_eq!(bench.losses, losses);
    }

    #[test]
    fn whatever_is_not_heard_nothing_is_made_up_for_it(
        (exchanges, is_pipelined) in conversation(),
        messages in proptest::collection::vec((1usize..200, proptest::bool::weighted(0.8)), 0..60),
    ) {
        let mut bench = Bench::default();
        send(&mut bench, &exchanges, is_pipelined, &messages);
        let mut last = None;
        for seen in &bench.seen {
            let index: usize = seen.target[1..].parse().unwrap();
            prop_assert!(last < Some(index), "each once, in their order");
            last = Some(index);
            let truth = &exchanges[index].seen;
            prop_assert_eq!((seen.who, &seen.headers), (truth.who, &truth.headers));
            prop_assert!(truth.body.starts_with(&seen.body));
            let Some((status, bytes, is_whole, body)) = &seen.reply else { continue };
            let fits = |truth: &Sent| {
                truth.seen.reply.as_ref().is_some_and(|reply| {
                    *status == reply.0
                        && reply.3.starts_with(body)
                        && *bytes <= reply.1
                        && (!is_whole || *bytes == reply.1)
                })
            };
            // Of a client that pipelines, and was not seen to before something was lost, it may be that of
            // another of its requests.
            prop_assert!(fits(&exchanges[index]) || (is_pipelined && exchanges.iter().any(fits)));
        }
    }
}
