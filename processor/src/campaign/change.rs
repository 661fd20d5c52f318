//! What a record of an account changes of who belongs together.
//!
//! Most records change nothing of it: one link of several is gone, or another value links the same accounts.
//! Only where accounts may come together or apart is anything assembled anew, because that looks at every
//! member of a campaign.
//!
//! As long as a campaign is not to be assembled, those of its members that were told and have evidence of
//! their own are all connected, and with no member of another campaign. Each record is held against that.

use super::member::{Group, Label, Member};
use super::roster::Roster;
use weir_schemas::AccountId;

/// What a record changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing of who belongs together, and nothing that was told of the account.
    Nothing,
    /// The account joins a campaign or rises in it, and nobody else comes or goes.
    Joins(Label),
    /// Accounts may come together or apart.
    Parts,
}

/// What changes when `after` stands in the place of what the roster has of an account.
pub(super) fn of(roster: &Roster, account: AccountId, after: &Member) -> Change {
    let before = roster.get(account);
    if before.is_some_and(|before| before.stands_as(after)) {
        return Change::Nothing;
    }
    if !after.has_evidence() {
        return Change::Parts;
    }
    let suspect = before.filter(|before| before.has_evidence());
    let was_in = |group: &Group| suspect.is_some_and(|before| before.is_in(account, group));
    let mut home = after.home();
    for group in after.groups(account).filter(|group| !was_in(group)) {
        match campaign_of(roster, account, &group) {
            Some(campaign)
                if campaign != Label::default() && (home == campaign || home == Label::default()) =>
            {
                home = campaign;
            }
            Some(_) => return Change::Parts,
            None => {}
        }
    }
    let had = suspect.into_iter().flat_map(|before| before.groups(account));
    let mut lost = had.filter(|group| !after.is_in(account, group));
    let is_severed = lost.any(|lost| !stays_connected(roster, (account, home), &lost, after));
    // Whose own label is less may give the campaign another name.
    if home == Label::default() || is_severed || after.own_label(account) < home {
        return Change::Parts;
    }
    if after.is_told(home) { Change::Nothing } else { Change::Joins(home) }
}

/// The others of a group that have evidence of their own.
fn others<'r>(
    roster: &'r Roster,
    account: AccountId,
    group: &Group,
) -> impl Iterator<Item = (AccountId, &'r Member)> {
    let others = roster.group(group).filter(move |other| *other != account);
    others.filter_map(|other| Some((other, roster.get(other)?))).filter(|(_, other)| other.has_evidence())
}

/// The campaign of a group's others: none where it has no others, and no label where none of them is in one.
fn campaign_of(roster: &Roster, account: AccountId, group: &Group) -> Option<Label> {
    let mut campaigns = others(roster, account, group).map(|(_, other)| other.home());
    let first = campaigns.next()?;
    let told = std::iter::once(first).chain(campaigns).find(|campaign| *campaign != Label::default());
    Some(told.unwrap_or_default())
}

/// Whether those whom an account leaves behind in a group are still connected with it: by a member of its
/// campaign in one of the groups that it is in by what stands `after`.
fn stays_connected(
    roster: &Roster,
    (account, home): (AccountId, Label),
    lost: &Group,
    after: &Member,
) -> bool {
    let mut left_behind = others(roster, account, lost).peekable();
    let is_kept = |(other, member): (AccountId, &Member)| {
        member.campaign == home && after.groups(account).any(|group| roster.is_in(other, &group))
    };
    left_behind.peek().is_none() || left_behind.any(is_kept)
}
