//! The stack from its start to its end.

use std::process::Command;

use anyhow::{Result, ensure};

use super::engine::Engine;
use super::stack::{MAKERS, ROLES, SURROUNDINGS, is_healthy, operator, state, until};
use super::{faults, hardening, proof, say};
use crate::shell::{output, succeed};

/// Brings the stack up, holds it to what it promises, and takes it down.
///
/// # Errors
/// Says which step did not come out as it must, with what the containers said.
pub fn run(engine: &Engine) -> Result<()> {
    let mut loopback = Command::new("ip");
    loopback.args(["link", "set", "lo", "up"]);
    succeed(loopback, "ip")?;
    let outcome = up(engine).and_then(|()| hold(engine));
    if outcome.is_err() {
        show_logs(engine);
    }
    let ended = down(engine);
    outcome.and(ended)
}

fn up(engine: &Engine) -> Result<()> {
    say("3. deploy/compose/docker-compose.yml comes up as it is.");
    output(engine.compose(&["up", "--detach"]), "podman-compose up")?;
    until("the makers of keys and topics to be done", || {
        for service in MAKERS {
            let state = state(engine, service)?;
            if state != "exited 0" {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    println!("   keys and topics are made");
    for service in SURROUNDINGS {
        until(&format!("{service} to run"), || Ok(state(engine, service)? == "running 0"))?;
    }
    for role in ROLES {
        until(&format!("{role} to be healthy"), || is_healthy(engine, role))?;
        println!("   {role} is healthy");
    }
    Ok(())
}

fn hold(engine: &Engine) -> Result<()> {
    say("4. What a role may do.");
    hardening::check(engine)?;
    say("5. A campaign through nginx, until a suspension stands and the gateway refuses it.");
    until("the posture to be taken", || {
        // On a busy machine a commit's outcome may be unknown: it is said again, as an operator would.
        let said = operator(engine, &["posture", "enforce"]).unwrap_or_else(|error| format!("{error:#}"));
        println!("   weir posture enforce: {}", said.trim());
        Ok(said.contains("posture is enforce"))
    })?;
    let drilled = output(engine.compose(&["run", "--rm", "-T", "drill"]), "the drill did not come out")?;
    for line in String::from_utf8(drilled)?.lines() {
        println!("   {line}");
    }
    let suspended = faults::suspended(engine)?;
    say("6. Every service is killed, and comes back by itself.");
    faults::kill_each(engine, &suspended)?;
    say("7. Nothing was lost, nothing doubled, and every verdict can be proved.");
    proof::nothing_was_lost(engine)?;
    proof::is_watched(engine)
}

fn down(engine: &Engine) -> Result<()> {
    say("8. All of it is taken down.");
    output(engine.compose(&["down", "--volumes", "--timeout", "20"]), "podman-compose down")?;
    for (what, list) in [("containers", ["ps", "--all", "--quiet"]), ("volumes", ["volume", "ls", "--quiet"])]
    {
        let left = engine.ask(&list)?;
        ensure!(left.is_empty(), "{what} are left: {left}");
    }
    println!("   no container and no volume is left");
    Ok(())
}

/// The last words of every container, for who has to find out.
fn show_logs(engine: &Engine) {
    for service in MAKERS.iter().chain(&ROLES).chain(&SURROUNDINGS) {
        let Ok(container) = engine.container(service) else { continue };
        eprintln!("== {service}: {}", state(engine, service).unwrap_or_default());
        let mut logs = engine.podman(["logs", "--tail", "15", &container]);
        let _ = logs.stdout(std::io::stderr()).status();
    }
}
