//! What the compose file takes from Weir's containers is really taken.

use anyhow::{Context, Result, ensure};

use super::engine::Engine;
use super::stack::ROLES;
use crate::shell::output;

/// Holds every role to it.
///
/// # Errors
/// Says which role may do what it must not.
pub fn check(engine: &Engine) -> Result<()> {
    for role in ROLES {
        let container = engine.container(role)?;
        let status = engine.ask(&["exec", &container, "cat", "/proc/1/status"])?;
        for (field, wanted) in [
            ("Uid", "10001 10001 10001 10001"),
            ("Gid", "10001 10001 10001 10001"),
            ("CapInh", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapEff", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "1"),
            // A filter of system calls.
            ("Seccomp", "2"),
        ] {
            let found = of_status(&status, field)?;
            ensure!(found == wanted, "{role} has {field} {found}, not {wanted}");
        }
        // Also not as root, of whom only the read-only root is left in the way.
        for path in ["/intruder", "/usr/local/bin/intruder", "/etc/passwd"] {
            let write = ["exec", "--user", "0", &container, "bash", "-c", &format!("echo >> {path}")];
            let refused = output(engine.podman(write), "refused").err();
            let refused = refused.with_context(|| format!("{role} can write to {path}"))?;
            ensure!(
                refused.to_string().contains("Read-only file system"),
                "{role}: {path} is kept by something else: {refused}"
            );
        }
    }
    // Each has its own keys and no other's: what is not mounted is the image's empty directory.
    for role in ROLES {
        let own = match role {
            // It makes pseudonyms of the keys that a gateway asks about.
            "decide" => "collector",
            other => other,
        };
        let container = engine.container(role)?;
        for whose in ["collector", "enforcer", "auditor", "operator"] {
            let there = engine.ask(&["exec", &container, "ls", &format!("/keys/{whose}")])?;
            ensure!(there.is_empty() == (whose != own), "{role}: /keys/{whose} holds {there:?}");
        }
    }
    println!(
        "   {}: user 10001, no capability, no new privileges, read-only root, its own keys",
        ROLES.join(", ")
    );
    Ok(())
}

/// A field of `/proc/PID/status`, its values one blank apart.
fn of_status(status: &str, field: &str) -> Result<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let line = line.with_context(|| format!("no {field} in {status:?}"))?;
    Ok(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tweir\nUid:\t10001\t10001\t0\t10001\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(of_status(status, "Uid").unwrap(), "10001 10001 0 10001");
        assert_eq!(of_status(status, "Seccomp").unwrap(), "2");
        assert!(of_status(status, "Cap").is_err());
    }
}
