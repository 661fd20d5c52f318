//! Every service dies once, and the stack goes on.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::engine::Engine;
use super::stack::{ROLES, SURROUNDINGS, is_healthy, until};
use crate::demo::ask;

/// Where the compose file publishes the gateway.
const GATEWAY: &str = "127.0.0.1:8080";
/// The keys of the campaign in the recorded traffic, and one of a customer who behaves.
const CAMPAIGN: [&str; 6] = [
    "sk-example-mirror-01",
    "sk-example-mirror-02",
    "sk-example-mirror-03",
    "sk-example-mirror-04",
    "sk-example-mirror-05",
    "sk-example-mirror-06",
];
const CUSTOMER: &str = "sk-example-harbor-chat";

/// Requests of the customer while a service is away.
const REQUESTS: usize = 20;
/// How often in a row every suspended key must be refused.
const ROUNDS: usize = 5;

/// The keys that the gateway refuses because they are suspended; the customer is answered, and who asks Redis
/// is told so too.
///
/// # Errors
/// When that does not come about.
pub fn suspended(engine: &Engine) -> Result<Vec<&'static str>> {
    let mut suspended = Vec::new();
    until("a key of the campaign to be suspended", || {
        suspended = CAMPAIGN.into_iter().filter(|key| status_of(key) == Some(403)).collect();
        Ok(!suspended.is_empty())
    })?;
    until("the customer to be answered", || Ok(status_of(CUSTOMER) == Some(200)))?;
    until("Redis to have the standings", || Ok(standings(engine)? >= suspended.len()))?;
    println!("   suspended and refused: {}; {CUSTOMER} is answered", suspended.join(", "));
    Ok(suspended)
}

/// How many accounts Redis has something to say about.
fn standings(engine: &Engine) -> Result<usize> {
    let redis = engine.container("redis")?;
    // Nothing while it is away.
    let told = engine.ask(&["exec", &redis, "redis-cli", "--scan", "--pattern", "weir:*:status"]);
    Ok(told.map_or(0, |keys| keys.lines().count()))
}

/// Kills the first process of each service as a crash would, while the customer goes on asking, and waits
/// until all is well again.
///
/// # Errors
/// Says who did not come back, or what was not as before.
pub fn kill_each(engine: &Engine, suspended: &[&str]) -> Result<()> {
    for service in SURROUNDINGS.iter().chain(&ROLES) {
        let container = engine.container(service)?;
        let before = pid(engine, &container)?.with_context(|| format!("{service} does not run"))?;
        kill_process(before, Signal::KILL).with_context(|| format!("cannot kill {service}"))?;
        let answered = (0..REQUESTS).filter(|_| status_of(CUSTOMER) == Some(200)).count();
        until(&format!("{service} to be started again"), || {
            Ok(pid(engine, &container)?.is_some_and(|now| now != before))
        })?;
        for role in ROLES {
            until(&format!("{role} to be healthy"), || is_healthy(engine, role))?;
        }
        until("who is suspended to be refused, and the customer answered", || {
            // Again and again: where no server answers a gateway that asks, it lets everybody pass.
            let is_refused = |key: &&str| status_of(key) == Some(403);
            Ok((0..ROUNDS).all(|_| suspended.iter().all(is_refused)) && status_of(CUSTOMER) == Some(200))
        })?;
        until("Redis to have the standings again", || Ok(standings(engine)? >= suspended.len()))?;
        println!("   {service}: back; the customer had {answered} of {REQUESTS} answers meanwhile");
        // A gateway that is away answers nobody. Whatever else is away, the customer does not notice.
        ensure!(*service == "gateway" || answered == REQUESTS, "a customer noticed that {service} was away");
    }
    Ok(())
}

/// The first process of a container, where it runs.
fn pid(engine: &Engine, container: &str) -> Result<Option<Pid>> {
    let pid: i32 = engine.ask(&["inspect", "--format", "{{.State.Pid}}", container])?.parse()?;
    Ok(Pid::from_raw(pid))
}

/// What the gateway answers to this key; none where it does not.
fn status_of(key: &str) -> Option<u16> {
    ask(GATEWAY, key).ok().map(|(status, _)| status)
}
