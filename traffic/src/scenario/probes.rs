//! The accounts of the probes: honest traffic that looks most like a campaign.

use crate::access::Access;
use crate::clients::{Client, Kind};
use crate::grammar::ENGLISH;
use crate::honest;
use crate::persona::Persona;
use crate::places::any_country;
use crate::random::{Random, mixed};
use crate::rhythm::Rhythm;
use crate::speech::{Speech, evaluation_shape};
use crate::world::World;

/// A student who does all tasks of a class in one evening, behind its one address.
pub fn student(world: &World, group: u64, tasks: u32, random: &mut Random) -> Persona {
    let mut common = world.random(&[group]);
    let access = Access::shared(any_country(&mut common), &mut common);
    let org = common.bits();
    let rhythm = Rhythm::Run { count: tasks, gap_ms: random.log_normal(60e3, 0.4), spread: 0.9 };
    // The harshest class: all paste the tasks as they are, on one make of machine.
    let speech = Speech::Homework { class: mixed(&[world.seed, group]), tasks, verbatim: true };
    let client = Client::any(Kind::Browser, &mut common);
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.born_ms = world.start_ms + 17 * 3_600_000 + (random.unit() * 50.0 * 60e3) as i64;
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
    if let Speech::Agent { tasks_only, .. } = &mut persona.speech {
        *tasks_only = true;
    }
    persona
}

/// One run through a list.
pub fn harness(world: &World, group: u64, questions: u32, gap_ms: u32, random: &mut Random) -> Persona {
    // A list that asks for the steps.
    let list =
        (0..64).map(|draw| mixed(&[world.seed, group, draw])).find(|list| evaluation_shape(*list) == 0);
    let list = list.unwrap_or_default();
    let rhythm = Rhythm::Run { count: questions, gap_ms: gap_ms.into(), spread: 0.15 };
    let speech = Speech::Evaluation { list, size: questions, limit: 1_024 };
    let access = Access::server(random);
    let client = Client::named("openai-python", random);
    let mut persona = Persona::new(world, ENGLISH, rhythm, access, client, speech, random);
    persona.born_ms = world.start_ms + 10 * 3_600_000;
    persona
}
