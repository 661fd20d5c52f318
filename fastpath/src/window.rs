//! What a sender's process has said already: the last [`WINDOW`] numbers of its count, which wraps.

use crate::limits::{COPY_MS, WINDOW};

/// Whether a number of the count is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was not heard before.
    News,
    /// It is a copy of what was heard a moment ago.
    Copy,
    /// It was heard a while ago, or is too far behind to know.
    Before,
}

/// The numbers that were heard.
#[derive(Debug, Clone)]
pub struct Window {
    newest: u32,
    /// When each was heard, by its number's place; none where it was not.
    heard_ms: Box<[Option<i64>; WINDOW]>,
}

impl Window {
    /// A window that heard nothing, in which `first` is the first to be.
    pub fn new(first: u32) -> Self {
        Self { newest: first, heard_ms: Box::new([None; WINDOW]) }
    }

    /// Whether this number is news at `now_ms`. Nothing is noted.
    pub fn look(&self, number: u32, now_ms: i64) -> Heard {
        match self.behind(number) {
            None => Heard::News,
            Some(behind) if behind >= WINDOW as u32 => Heard::Before,
            Some(_) => match self.heard_ms[place(number)] {
                None => Heard::News,
                Some(heard_ms) if now_ms.saturating_sub(heard_ms) <= COPY_MS => Heard::Copy,
                Some(_) => Heard::Before,
            },
        }
    }

    /// Notes that this number was heard at `now_ms`.
    pub fn hear(&mut self, number: u32, now_ms: i64) {
        if self.behind(number).is_none() {
            let ahead = number.wrapping_sub(self.newest).min(WINDOW as u32);
            for step in 0..ahead {
                self.heard_ms[place(number.wrapping_sub(step))] = None;
            }
            self.newest = number;
        }
        self.heard_ms[place(number)] = Some(now_ms);
    }

    /// How far a number is behind the newest; none where it is ahead. Half of all numbers are ahead, as RFC
    /// 1982 has it.
    fn behind(&self, number: u32) -> Option<u32> {
        let behind = self.newest.wrapping_sub(number);
        (behind < 1 << 31).then_some(behind)
    }
}

fn place(number: u32) -> usize {
    number as usize % WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether it is news; it is noted if so.
    fn takes(window: &mut Window, number: u32, now_ms: i64) -> bool {
        let is_news = window.look(number, now_ms) == Heard::News;
        if is_news {
            window.hear(number, now_ms);
        }
        is_news
    }

    #[test]
    fn a_copy_is_one_for_a_second_and_what_comes_again_later_was_recorded() {
        let mut window = Window::new(5);
        assert!(takes(&mut window, 5, 1_000));
        assert_eq!(window.look(5, 1_006), Heard::Copy);
        assert_eq!(window.look(5, 2_000), Heard::Copy);
        assert_eq!(window.look(5, 2_001), Heard::Before);
        assert!(takes(&mut window, 5 + 256, 2_000));
        assert_eq!(window.look(5, 2_000), Heard::Before, "too far behind to know");
        assert_eq!(window.look(6, 2_000), Heard::News);
    }

    proptest! {
        /// Numbers that wrap, each three times, out of order by up to 80 places (240 datagrams), one of ten
        /// lost: each that came at all is news once.
        #[test]
        fn each_number_that_comes_is_news_once_however_it_comes(
            first in prop_oneof![any::<u32>(), (u32::MAX - 400)..=u32::MAX],
            count in 1..600u32,
            moves in prop::collection::vec((any::<prop::sample::Index>(), 0..80usize), 0..120),
            lost in prop::collection::vec(0..10u8, 1_800),
        ) {
            let mut sent: Vec<u32> = (0..count).flat_map(|n| [first.wrapping_add(n); 3]).collect();
            for (at, by) in moves {
                let at = at.index(sent.len());
                let to = (at + by).min(sent.len() - 1);
                let moved = sent.remove(at);
                sent.insert(to, moved);
            }
            let came: Vec<u32> = sent.iter().zip(&lost).filter(|(_, lost)| **lost > 0).map(|(n, _)| *n).collect();
            prop_assume!(!came.is_empty());
            let mut window = Window::new(came[0]);
            let mut news: Vec<u32> = came.iter().copied().filter(|n| takes(&mut window, *n, 1)).collect();
            news.sort_unstable();
            let mut all = came;
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(news, all);
        }
    }
}
