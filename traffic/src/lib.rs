//! Labelled traffic from a seed: what the customers of a model's API do, and what campaigns do among them.
//!
//! Read in this order: [`scenario`] (which groups there are), [`honest`] and [`campaign`] (who is in them, as
//! a [`persona`]), [`rhythm`] (when), [`access`] and [`clients`] (from where, with what), [`speech`] (what is
//! said, in the words of [`texts`]), [`stream`] (all of it in order of time), [`write`](mod@write) (as log
//! lines). [`drill`] is for systems that have customers.
//!
//! The same plan gives the same bytes, on any machine. Nothing is held but one small record an account.

pub mod access;
pub mod campaign;
pub mod care;
pub mod clients;
pub mod corpus;
pub mod drill;
pub mod exchange;
pub mod grammar;
pub mod honest;
pub mod persona;
pub mod places;
pub mod random;
pub mod rhythm;
pub mod scenario;
pub mod speech;
pub mod stream;
pub mod texts;
pub mod world;
pub mod write;

use corpus::Corpus;
use scenario::Plan;
use stream::Stream;
use texts::Texts;
use world::World;

/// 2026-09-07, a Monday: where runs begin unless told otherwise.
pub const START_MS: i64 = 1_788_739_200_000;

/// The stream of a plan, from `start_ms` on.
pub fn simulate(plan: &Plan, start_ms: i64, corpus: Option<Corpus>) -> Stream {
    let scenario = plan.scenario();
    let mut world = World {
        seed: plan.seed,
        start_ms,
        end_ms: start_ms + (plan.hours * 3.6e6) as i64,
        release_ms: None,
        news: None,
        free_share: 0.0,
        is_up_to_date: false,
        texts: Texts::with(corpus),
    };
    let mut random = world.random(&[0x6576_656e]);
    let release_ms = world.moment(0.2, 0.7, &mut random);
    let news = (world.moment(0.1, 0.8, &mut random), random.bits());
    world.free_share = [0.0, 0.4, 0.8][random.below(3) as usize];
    world.is_up_to_date = random.chance(0.4);
    world.release_ms = scenario.has_release.then_some(release_ms);
    world.news = scenario.has_news.then_some(news);
    Stream::new(world, scenario)
}
