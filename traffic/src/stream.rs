//! All accounts' exchanges in one stream, in order of time, one at a time.
//!
//! What is held is one small record an account: who it is and where it is in its day. Exchanges are made when
//! their turn comes and forgotten.

use crate::campaign::quiet;
use crate::exchange::Exchange;
use crate::persona::Persona;
use crate::random::{Random, mixed};
use crate::rhythm::{Next, Pace, Rhythm};
use crate::scenario::{Group, Scenario};
use crate::speech::{Speaker, Speech, Talk};
use crate::world::{MODELS, RELEASED, World};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

struct Account {
    random: Random,
    group: u32,
    key: u64,
    persona: Persona,
    /// How it behaves until its campaign uses it.
    quiet: Option<Rhythm>,
    pace: Pace,
    talk: Talk,
    begins: bool,
    session: u64,
    requests: u64,
}

/// The exchanges of a scenario.
pub struct Stream {
    world: World,
    groups: Vec<Group>,
    labels: Vec<Option<Arc<str>>>,
    accounts: Vec<Option<Account>>,
    due: BinaryHeap<Reverse<(i64, u32)>>,
    exchange: Exchange,
}

impl Stream {
    /// The stream of a scenario in a world.
    pub fn new(world: World, scenario: Scenario) -> Self {
        let mut this = Self {
            labels: scenario.groups.iter().map(|group| group.label.as_deref().map(Arc::from)).collect(),
            groups: scenario.groups,
            world,
            accounts: Vec::new(),
            due: BinaryHeap::new(),
            exchange: Exchange::default(),
        };
        for group in 0..this.groups.len() {
            for index in 0..this.groups[group].accounts {
                this.add(group as u32, index);
            }
        }
        this
    }

    /// Accounts of the scenario.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    fn add(&mut self, group: u32, index: u32) {
        let key = mixed(&[self.world.seed, u64::from(group), u64::from(index)]);
        let mut random = Random::of(&[key]);
        let persona = self.groups[group as usize].persona(&self.world, u64::from(group), index, &mut random);
        let quiet = (persona.quiet_until_ms > 0).then(|| quiet(&self.world, &mut random));
        let mut account = Account {
            random,
            group,
            key,
            persona,
            quiet,
            pace: Pace::default(),
            talk: Talk::default(),
            begins: true,
            session: 0,
            requests: 0,
        };
        let number = self.accounts.len() as u32;
        let next = account.next(account.persona.born_ms);
        if let Some(time_ms) = next.filter(|time_ms| *time_ms < self.world.end_ms) {
            self.due.push(Reverse((time_ms, number)));
            self.accounts.push(Some(account));
        } else {
            self.accounts.push(None);
        }
    }

    /// The next exchange; none after the last. It is valid until the next call.
    pub fn next_exchange(&mut self) -> Option<&Exchange> {
        let Reverse((time_ms, number)) = self.due.pop()?;
        let account = self.accounts[number as usize].as_mut()?;
        let group = &self.groups[account.group as usize];
        let exchange = &mut self.exchange;
        (exchange.time_ms, exchange.population) = (time_ms, group.population);
        exchange.label.clone_from(&self.labels[account.group as usize]);
        account.ask(&self.world, exchange);
        match account.next(time_ms).filter(|time_ms| *time_ms < self.world.end_ms) {
            Some(time_ms) => self.due.push(Reverse((time_ms, number))),
            None => self.accounts[number as usize] = None,
        }
        Some(&self.exchange)
    }
}

impl Account {
    /// When it speaks after `now_ms`.
    fn next(&mut self, now_ms: i64) -> Option<i64> {
        if let Some(quiet) = &self.quiet {
            let next = quiet.next(&mut self.pace, now_ms, &mut self.random)?;
            if next.time_ms < self.persona.quiet_until_ms {
                return self.taken(next);
            }
            (self.quiet, self.pace) = (None, Pace::default());
            let from_ms = self.persona.quiet_until_ms;
            let next = self.persona.rhythm.next(&mut self.pace, from_ms, &mut self.random)?;
            return self.taken(next);
        }
        let next = self.persona.rhythm.next(&mut self.pace, now_ms, &mut self.random)?;
        self.taken(next)
    }

    fn taken(&mut self, next: Next) -> Option<i64> {
        self.begins = next.begins;
        (next.time_ms < self.persona.dies_ms).then_some(next.time_ms)
    }

    fn ask(&mut self, world: &World, exchange: &mut Exchange) {
        let persona = &self.persona;
        if self.begins {
            self.session = self.random.bits();
        }
        let speaker =
            Speaker { world, language: persona.language, now_ms: exchange.time_ms, begins: self.begins };
        let speech = if self.quiet.is_some() { &Speech::Chat } else { &persona.speech };
        speech.say(&mut self.talk, speaker, &mut self.random, &mut exchange.said);
        self.requests += 1;
        exchange.account = self.key;
        exchange.id = [mixed(&[self.key, self.requests]), mixed(&[self.requests, self.key])];
        // Some sessions come from the telephone.
        let (client, access) = match persona.second {
            Some(second) if Random::of(&[self.session, 2]).chance(0.35) => second,
            _ => (persona.client, persona.access),
        };
        exchange.address = access.address(exchange.time_ms, self.session, exchange.id[0]);
        client.show(self.session, &mut exchange.shown);
        let model = match persona.adopts_ms {
            Some(adopts_ms) if exchange.time_ms >= adopts_ms => RELEASED,
            _ if self.random.chance(persona.strays) => crate::world::any_model(&mut self.random),
            _ => persona.model,
        };
        exchange.model = MODELS[usize::from(model)];
        (exchange.payment, exchange.org) = (persona.payment, persona.org);
        let tokens = exchange.said.completion_tokens;
        exchange.latency_ms = (self.random.log_normal(350.0, 0.4) + f64::from(tokens) * 14.0) as u32;
        exchange.status = 200;
    }
}
