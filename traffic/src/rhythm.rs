//! When an account speaks: people by sessions in their own day, programs by the clock, by the second, or by
//! the demand that they serve.

use crate::random::Random;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// The hours of a day that somebody is active in, as a share of the busiest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hours {
    /// Evenings and weekends.
    Home,
    /// Working days.
    Office,
    /// Afternoons and late evenings.
    Student,
}

const HOME: [u8; 24] =
    [22, 10, 5, 3, 3, 6, 15, 30, 42, 48, 52, 55, 60, 58, 55, 55, 58, 66, 78, 92, 100, 98, 78, 46];
const OFFICE: [u8; 24] =
    [2, 1, 1, 1, 1, 3, 8, 30, 75, 98, 100, 92, 58, 80, 97, 95, 86, 60, 28, 15, 12, 10, 6, 3];
const STUDENT: [u8; 24] =
    [35, 18, 8, 3, 2, 2, 5, 14, 28, 38, 45, 50, 50, 58, 66, 75, 80, 82, 84, 92, 100, 98, 80, 55];

impl Hours {
    /// Activity at this hour and day of the week (0 is Monday), 0 to 1.
    fn activity(self, hour: usize, weekday: i64) -> f64 {
        let (curve, weekend) = match self {
            Self::Home => (&HOME, 1.15),
            Self::Office => (&OFFICE, 0.08),
            Self::Student => (&STUDENT, 0.7),
        };
        f64::from(curve[hour]) / 115.0 * if weekday >= 5 { weekend } else { 1.0 }
    }

    /// Mean activity of a working day.
    fn mean(self) -> f64 {
        (0..24).map(|hour| self.activity(hour, 0)).sum::<f64>() / 24.0
    }
}

/// When an account speaks.
#[derive(Debug, Clone, PartialEq)]
pub enum Rhythm {
    /// A person: sessions come by the hour of the person's day; in a session, thought between two messages is
    /// log-normal.
    Person {
        /// Whose hours.
        hours: Hours,
        /// Minutes that local time is ahead of UTC.
        utc_minutes: i32,
        /// Sessions of a working day, on average.
        sessions: f64,
        /// Messages of a session, on average.
        turns: f64,
        /// Half of the pauses in a session are shorter, in seconds.
        pause_s: f64,
    },
    /// A program that serves others: they come one by one, more by day than by night.
    Served {
        /// Requests of a day, on average.
        per_day: f64,
        /// How much of it follows the hour of the day, 0 to 1.
        swing: f64,
        /// Minutes that the customers' time is ahead of UTC.
        utc_minutes: i32,
    },
    /// A job: a burst at every period.
    Clock {
        /// From one burst to the next, in seconds.
        period_s: u32,
        /// Where in the period, in seconds.
        phase_s: u32,
        /// How far a burst may begin late, in seconds.
        late_s: f64,
        /// Requests of a burst, on average.
        burst: f64,
        /// From one request of a burst to the next, in milliseconds.
        gap_ms: f64,
        /// Share of the periods that are left out.
        skips: f64,
    },
    /// One list worked through at a steady pace, from the account's birth on.
    Run {
        /// Requests.
        count: u32,
        /// From one to the next, in milliseconds: half of the gaps are shorter.
        gap_ms: f64,
        /// Spread of their logarithm.
        spread: f64,
    },
    /// A program that never rests.
    Steady {
        /// From one request to the next, in seconds: half of the gaps are shorter.
        gap_s: f64,
        /// Spread of their logarithm: 0 is a metronome.
        spread: f64,
    },
}

/// Where an account is in its rhythm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pace {
    /// Messages left in the session, burst or run.
    left: u32,
    started: bool,
}

/// When an account speaks next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Time, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// A session, burst or run begins with it.
    pub begins: bool,
}

impl Rhythm {
    /// When the account speaks after `now_ms`; never again where none. Before the first time `now_ms` is its
    /// birth.
    pub fn next(&self, pace: &mut Pace, now_ms: i64, random: &mut Random) -> Option<Next> {
        let begins = pace.left == 0;
        let gap_ms = match self {
            Self::Person { hours, utc_minutes, sessions, turns, pause_s } => {
                if begins {
                    let start_ms = session(*hours, *utc_minutes, *sessions, now_ms, random);
                    pace.left = counted(*turns, random) - 1;
                    return Some(Next { time_ms: start_ms, begins });
                }
                pace.left -= 1;
                (random.log_normal(*pause_s, 0.9) * 1e3).clamp(1_500.0, 3.0e6)
            }
            Self::Served { per_day, swing, utc_minutes } => {
                let mut at_ms = now_ms;
                loop {
                    at_ms += (random.exponential(DAY_MS as f64 / (per_day * (1.0 + swing)))).max(1.0) as i64;
                    let active = (1.0 - swing)
                        + swing * at_local(Hours::Home, *utc_minutes, at_ms) / Hours::Home.mean();
                    // A quiet night cannot last for ever: give up after a week without anyone.
                    if random.chance(active / (1.0 + swing)) || at_ms > now_ms + 7 * DAY_MS {
                        return Some(Next { time_ms: at_ms, begins: true });
                    }
                }
            }
            Self::Clock { period_s, phase_s, late_s, burst, gap_ms, skips } => {
                if begins {
                    let (period_ms, phase_ms) = (i64::from(*period_s) * 1_000, i64::from(*phase_s) * 1_000);
                    let mut due_ms =
                        (now_ms - phase_ms).div_euclid(period_ms) * period_ms + phase_ms + period_ms;
                    while random.chance(skips.min(0.99)) {
                        due_ms += period_ms;
                    }
                    pace.left = counted(*burst, random) - 1;
                    let late_ms = random.exponential(late_s * 1e3).min(period_ms as f64 / 3.0) as i64;
                    return Some(Next { time_ms: due_ms + late_ms, begins });
                }
                pace.left -= 1;
                random.log_normal(*gap_ms, 0.35)
            }
            Self::Run { count, gap_ms, spread } => {
                if begins {
                    if pace.started || *count == 0 {
                        return None;
                    }
                    pace.started = true;
                    pace.left = count - 1;
                    return Some(Next { time_ms: now_ms, begins });
                }
                pace.left -= 1;
                random.log_normal(*gap_ms, *spread)
            }
            Self::Steady { gap_s, spread } => random.log_normal(gap_s * 1e3, *spread),
        };
        Some(Next { time_ms: now_ms + (gap_ms as i64).max(1), begins: matches!(self, Self::Steady { .. }) })
    }
}

/// A count of at least one with this mean, geometrically distributed.
fn counted(mean: f64, random: &mut Random) -> u32 {
    1 + random.exponential((mean - 1.0).max(0.0) + 0.001).min(5_000.0) as u32
}

fn at_local(hours: Hours, utc_minutes: i32, time_ms: i64) -> f64 {
    let local_ms = time_ms + i64::from(utc_minutes) * MINUTE_MS;
    let hour = local_ms.rem_euclid(DAY_MS) / HOUR_MS;
    // The first of January 1970 was a Thursday.
    let weekday = (local_ms.div_euclid(DAY_MS) + 3).rem_euclid(7);
    hours.activity(hour as usize, weekday)
}

/// The next start of a session: a Poisson process whose rate follows the hours.
fn session(hours: Hours, utc_minutes: i32, per_day: f64, now_ms: i64, random: &mut Random) -> i64 {
    let fastest_ms = DAY_MS as f64 * hours.mean() / per_day.max(0.01);
    let mut at_ms = now_ms;
    for _ in 0..10_000 {
        at_ms += random.exponential(fastest_ms).max(1.0) as i64;
        if random.chance(at_local(hours, utc_minutes, at_ms)) {
            return at_ms;
        }
    }
    at_ms
}
