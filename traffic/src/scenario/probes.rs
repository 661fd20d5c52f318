//! The accounts of the probes: honest traffic that looks most like a campaign.

use crate::access::Access;
use crate::clients::{Client, Kind};
use crate::grammar::ENGLISH;
use crate::honest;
use crate::persona::Persona;
use crate::places::any_country;
use crate::random::{Random, mixed};
use crate::rhythm::{Hours, Rhythm};
use crate::speech::Speech;
use crate::world::World;

/// A student who does all tasks of a class in one evening, behind its one address.
pub fn student(world: &World, group: u64, tasks: u32, random: &mut Random) -> Persona {
    let mut common = world.random(&[group]);
    let access = Access::shared(any_country(&mut common), &mut common);
    let org = common.bits();
    let rhythm = Rhythm::Person {
        hours: Hours::Student,
        utc_minutes: 0,
        sessions: 60.0,
        turns: f64::from(tasks) * 1.5,
        pause_s: random.log_normal(45.0, 0.4),
    };
    let speech = Speech::Homework { class: mixed(&[world.seed, group]), tasks };
    let client = Client::any(Kind::Browser, random);
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.born_ms = world.start_ms + 17 * 3_600_000 + (random.unit() * 50.0 * 60e3) as i64;
    persona.dies_ms = persona.born_ms + 150 * 60_000;
    (persona.org, persona.payment) = (Some(org), None);
    persona
}

/// A colleague with the company's coding agent, on a day on which everybody works.
pub fn colleague(world: &World, group: u64, random: &mut Random) -> Persona {
    let mut persona = honest::agent_team(world, group, &mut world.random(&[group]), random);
    let turns = random.log_normal(8.0, 0.4);
    if let Rhythm::Person { sessions, turns: of_session, .. } = &mut persona.rhythm {
        (*sessions, *of_session) = (10.0, turns);
    }
    persona
}

/// One run through a list.
pub fn harness(world: &World, group: u64, questions: u32, gap_ms: u32, random: &mut Random) -> Persona {
    let list = mixed(&[world.seed, group]);
    let rhythm = Rhythm::Run { count: questions, gap_ms: gap_ms.into() };
    let speech = Speech::Evaluation { list, size: questions, limit: 1_024 };
    let access = Access::server(random);
    let client = Client::named("openai-python", random);
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.born_ms = world.start_ms + 10 * 3_600_000;
    persona
}
