//! How a client of HTTP/2 sets its connection up, which tells one program from another.
//!
//! Akamai's notation (Black Hat EU 2017): settings in their order, the window of the connection, priorities
//! that were sent apart, and the order of pseudo-headers: `1:65536;2:0;4:6291456|15663105|0|m,a,s,p`.

use crate::limits::{TRACE_PRIORITIES_MAX, TRACE_SETTINGS_MAX};

/// What a client said before its first request.
#[derive(Default)]
pub(super) struct ClientSettings {
    settings: Option<Vec<(u16, u32)>>,
    window: Option<u32>,
    priorities: Vec<String>,
    notation: Option<String>,
}

impl ClientSettings {
    /// The payload of a frame of settings; only the first counts.
    pub(super) fn settings(&mut self, payload: &[u8]) {
        let of = |[a, b, c, d, e, f]: &[u8; 6]| {
            (u16::from_be_bytes([*a, *b]), u32::from_be_bytes([*c, *d, *e, *f]))
        };
        self.settings.get_or_insert_with(|| {
            payload.as_chunks::<6>().0.iter().take(TRACE_SETTINGS_MAX).map(of).collect()
        });
    }

    /// The payload of a frame that widens the connection's window; only the first counts.
    pub(super) fn window(&mut self, payload: &[u8]) {
        if let Some(bytes) = payload.first_chunk() {
            self.window.get_or_insert(u32::from_be_bytes(*bytes) & 0x7fff_ffff);
        }
    }

    /// The payload of a frame of priority.
    pub(super) fn priority(&mut self, stream: u32, payload: &[u8]) {
        if let ([a, b, c, d, weight], true) = (payload, self.priorities.len() < TRACE_PRIORITIES_MAX) {
            let (exclusive, on) = (a >> 7, u32::from_be_bytes([a & 0x7f, *b, *c, *d]));
            self.priorities.push(format!("{stream}:{exclusive}:{on}:{}", u16::from(*weight) + 1));
        }
    }

    /// The notation, as of the first request, whose pseudo-headers came in this order.
    pub(super) fn notation<'n>(&mut self, pseudo: impl Iterator<Item = &'n [u8]>) -> String {
        let Self { settings, window, priorities, notation } = self;
        let of_first = || {
            let settings = settings.iter().flatten().map(|(id, value)| format!("{id}:{value}"));
            let settings = settings.collect::<Vec<_>>().join(";");
            let window = window.map_or("00".to_owned(), |window| window.to_string());
            let priorities = if priorities.is_empty() { "0".to_owned() } else { priorities.join(",") };
            let letters = pseudo.filter_map(|name| name.get(1)).map(|letter| char::from(*letter).to_string());
            format!("{settings}|{window}|{priorities}|{}", letters.collect::<Vec<_>>().join(","))
        };
        notation.get_or_insert_with(of_first).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browsers_first_frames_are_written_as_akamai_does() {
        let mut client = ClientSettings::default();
        client.settings(&[0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 0, 0x60, 0, 0, 0, 6, 0, 4, 0, 0]);
        client.settings(&[0, 1, 0, 0, 0, 0]);
        client.window(&15_663_105u32.to_be_bytes());
        client.window(&1u32.to_be_bytes());
        let order: [&[u8]; 4] = [b":method", b":authority", b":scheme", b":path"];
        let expected = "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p";
        assert_eq!(client.notation(order.into_iter()), expected);
        client.priority(3, &[0, 0, 0, 0, 200]);
        assert_eq!(client.notation([].into_iter()), expected, "what comes later changes nothing");
    }

    #[test]
    fn priorities_are_told_and_what_was_not_said_is_nothing() {
        let mut client = ClientSettings::default();
        client.priority(3, &[0x80, 0, 0, 0, 200]);
        client.priority(5, &[0, 0, 0, 3, 0]);
        client.priority(5, &[0]);
        let order: [&[u8]; 1] = [b":path"];
        assert_eq!(client.notation(order.into_iter()), "|00|3:1:0:201,5:0:3:1|p");
    }
}
