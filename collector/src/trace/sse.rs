//! Server-sent events: of a streamed answer only those events are kept that say something of how it went, so
//! that hours of an answer take no more room than its end.

use crate::body::Answer;

/// The events of a stream, as they come.
#[derive(Debug)]
pub(crate) struct Events {
    bytes_max: usize,
    /// The line that is not complete.
    line: Vec<u8>,
    /// The line is longer than is kept.
    is_cut: bool,
    /// The last byte was a carriage return: a line feed belongs to it.
    was_return: bool,
    /// The data of the event that is not complete.
    data: Vec<u8>,
    /// Events that say something, as `data:` lines.
    kept: Vec<u8>,
    /// The latest of them where there is no more room.
    last: Vec<u8>,
    has_model: bool,
    /// Bytes that are not kept though they may say something.
    dropped: u64,
}

impl Events {
    /// Keeps at most `bytes_max` bytes of events, and the latest one besides.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            line: Vec::new(),
            is_cut: false,
            was_return: false,
            data: Vec::new(),
            kept: Vec::new(),
            last: Vec::new(),
            has_model: false,
            dropped: 0,
        }
    }

    /// Takes bytes of the stream, split anywhere.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        if std::mem::replace(&mut self.was_return, false) && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
        }
        while let Some(end) = memchr::memchr2(b'\r', b'\n', bytes) {
            self.add(&bytes[..end]);
            self.end_line();
            let is_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            match (is_return, bytes.first()) {
                (true, Some(b'\n')) => bytes = &bytes[1..],
                (true, None) => self.was_return = true,
                _ => {}
            }
        }
        self.add(bytes);
    }

    /// Bytes were not heard: the event that they are of cannot be read.
    pub(crate) fn missing(&mut self) {
        self.line.clear();
        self.data.clear();
        // What follows is the rest of some line.
        self.is_cut = true;
        self.was_return = false;
    }

    /// The events that say something, as a stream; and how many bytes of others that may were not kept.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u64) {
        self.end_line();
        self.end_event();
        self.kept.append(&mut self.last);
        (self.kept, self.dropped)
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.line.len() + self.data.len() + self.kept.len() + self.last.len()
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.is_cut || self.line.len() + bytes.len() > self.bytes_max {
            self.is_cut = true;
            self.dropped += bytes.len() as u64;
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if std::mem::replace(&mut self.is_cut, false) {
            return;
        }
        if line.is_empty() {
            self.end_event();
        } else if let Some(data) = line.strip_prefix(b"data:") {
            if self.data.len() + data.len() > self.bytes_max {
                self.dropped += data.len() as u64;
            } else {
                if !self.data.is_empty() {
                    // Lines of one event are one text, in which a line break is a blank.
                    self.data.push(b' ');
                }
                self.data.extend_from_slice(data.trim_ascii());
            }
        }
        self.line = line;
        self.line.clear();
    }

    fn end_event(&mut self) {
        let data = std::mem::take(&mut self.data);
        let mut answer = Answer::default();
        answer.read(&data);
        let has_model = answer.model.is_some();
        let says = answer.prompt_tokens.is_some()
            || answer.completion_tokens.is_some()
            || answer.finish_reason.is_some()
            || answer.refused
            || answer.tool_calls.is_some()
            || (has_model && !self.has_model);
        self.has_model |= has_model;
        if says {
            let event = [b"data: ", &data[..], b"\n"].concat();
            if self.kept.len() + event.len() <= self.bytes_max {
                self.kept.extend_from_slice(&event);
            } else {
                self.dropped += self.last.len() as u64;
                self.last = event;
            }
        }
        self.data = data;
        self.data.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    const OPENAI: &str = "data: {\"id\":\"c\",\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\
        : a comment\n\n\
        data: {\"id\":\"c\",\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n\
        data: {\"id\":\"c\",\"model\":\"m-1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n\
        data: [DONE]\n\n";

    fn read(bytes: &[u8], splits: &[usize], bytes_max: usize) -> (String, u64) {
        let mut events = Events::new(bytes_max);
        let mut rest = bytes;
        for split in splits {
            let (head, tail) = rest.split_at((*split).min(rest.len()));
            events.take(head);
            rest = tail;
        }
        events.take(rest);
        let (kept, dropped) = events.finish();
        (String::from_utf8(kept).unwrap(), dropped)
    }

    #[test]
    fn events_that_say_nothing_new_take_no_room() {
        expect![[r#"
            data: {"id":"c","model":"m-1","choices":[{"delta":{"content":"a"}}]}
            data: {"id":"c","model":"m-1","choices":[{"delta":{},"finish_reason":"stop"}]}
            data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}
        "#]]
        .assert_eq(&read(OPENAI.as_bytes(), &[], 4096).0);
    }

    #[test]
    fn without_room_the_end_is_kept_and_the_rest_counted() {
        let (kept, dropped) = read(OPENAI.as_bytes(), &[], 90);
        expect![[r#"
            data: {"id":"c","model":"m-1","choices":[{"delta":{"content":"a"}}]}
            data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}
        "#]]
        .assert_eq(&kept);
        assert_eq!(dropped, 79);
    }

    #[test]
    fn an_event_of_which_bytes_are_missing_says_nothing() {
        let mut events = Events::new(4096);
        events.take(b"data: {\"usage\":{\"completion_tokens\":");
        events.missing();
        events.take(b"99}}\n\ndata: {\"usage\":{\"completion_tokens\":3}}\n\n");
        assert_eq!(
            String::from_utf8(events.finish().0).unwrap(),
            "data: {\"usage\":{\"completion_tokens\":3}}\n"
        );
    }

    fn said(bytes: &[u8]) -> (Option<String>, Option<i64>, Option<i64>, Option<i32>, bool, String) {
        let mut answer = Answer::default();
        answer.read(bytes);
        let model = answer.model.map(|model| model.into_owned());
        let reason = format!("{:?}", answer.finish_reason);
        (model, answer.prompt_tokens, answer.completion_tokens, answer.tool_calls, answer.refused, reason)
    }

    fn event() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("{\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}".to_owned()),
            (0i64..99).prop_map(|n| format!("{{\"usage\":{{\"input_tokens\":{n},\"output_tokens\":{n}}}}}")),
            Just("{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\"}}".to_owned()),
            Just("{\"choices\":[{\"finish_reason\":\"length\"}]}".to_owned()),
            Just("{\"choices\":[{\"delta\":{\"refusal\":\"no\"},\"finish_reason\":\"stop\"}]}".to_owned()),
            Just("[DONE]".to_owned()),
            Just("no json".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn what_is_kept_says_what_the_whole_stream_says_wherever_it_is_split(
            events in proptest::collection::vec(event(), 0..12),
            line_break in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            splits in proptest::collection::vec(0usize..60, 0..30),
        ) {
            let of = |end: &str| events.iter().map(|event| format!("event: e{end}data: {event}{end}{end}")).collect::<String>();
            let (kept, dropped) = read(of(line_break).as_bytes(), &splits, 4096);
            prop_assert_eq!(said(kept.as_bytes()), said(of("\n").as_bytes()));
            prop_assert_eq!(dropped, 0);
        }
    }
}
