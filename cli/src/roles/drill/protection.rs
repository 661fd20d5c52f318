//! Puts the tenant of a drill on the list of who is protected, and waits until that is in force.

use super::LOOK;
use crate::context::Context;
use crate::roles::control::{Said, in_force, offset_of, say};
use crate::roles::inbox::Inbox;
use anyhow::{Context as _, Result, bail, ensure};
use std::time::{Duration, Instant};
use weir_enforcer::limits::LISTED_MAX;
use weir_enforcer::subject::{ListName, ON, Subject};
use weir_replay::drill::Follower;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;

/// How long it may take until it is in force.
const IN_FORCE_MAX: Duration = Duration::from_secs(60);

/// Protects `tenant`, and returns when every enforcer of the log that is followed has heard it. Where another
/// process has the log, that one reads what operators say before what it judges later: then it is enough that
/// it has taken the word.
///
/// Nobody has the keys of a drill's accounts, and who carries effects out should not be asked to look for
/// them.
pub(super) fn put_in_force(
    context: &Context,
    tenant: &str,
    wire: &Wire,
    follower: Option<(&dyn Log, &mut Follower)>,
) -> Result<()> {
    let name = ListName::Protected.record_of(&Subject::Tenant(tenant.to_owned()));
    if let Some((log, _)) = &follower {
        let listed = in_force(*log, wire, ListName::Protected.prefix())?;
        let listed = listed.values().filter(|control| control.body.trim() == ON).count();
        ensure!(
            listed < LISTED_MAX,
            "nothing was sent: {LISTED_MAX} entries are protected already, and a drill would not be; take some off by \
             `weir protect remove`, first those of earlier drills"
        );
    }
    say(context, &[Said::setting(&name, ON)])?;
    let waited = Waited { context, tenant, until: Instant::now() + IN_FORCE_MAX };
    let Some((log, follower)) = follower else {
        let inbox = Inbox::of(&context.settings.data_dir);
        while !inbox.is_empty()? {
            waited.check("the process that has the log does not take what operators say")?;
            std::thread::sleep(LOOK);
        }
        return Ok(());
    };
    let offset = offset_of(log, &name)?.context("what was said just now is not in weir.control")?;
    loop {
        follower.read_on(wire, LOOK)?;
        let unheard = follower.unheard(offset);
        if unheard.is_empty() {
            return Ok(());
        }
        waited.check(&format!(
            "the enforcer's tasks {unheard:?} have not heard it: does `weir enforce` run?"
        ))?;
    }
}

/// A wait for a drill's protection, of which nothing was sent yet.
struct Waited<'a> {
    context: &'a Context,
    tenant: &'a str,
    until: Instant,
}

impl Waited<'_> {
    /// Fails where there is no more time, because of `why`.
    fn check(&self, why: &str) -> Result<()> {
        let Self { context, tenant, until } = self;
        ensure!(!context.is_stopped(), "told to stop before {tenant} was sent");
        if Instant::now() < *until {
            return Ok(());
        }
        bail!(
            "nothing was sent: that {tenant} is protected was not in force within {} s; {why}",
            IN_FORCE_MAX.as_secs()
        )
    }
}
