//! An operator's word that what is in force on a subject is undone, and what the log says that is.
//!
//! Enforcers undo what their state has. Where a state has lost an account, or never had it, the effect is
//! there all the same: so whoever publishes the word looks the account up in the log, and names what is in
//! force. The body is the subject, and a line for each such action: the partition whose enforcer it is of,
//! and the action in its single-object frame, in base64.

use crate::lifecycle::is_in_force;
use crate::limits::{NAME_BYTES_MAX, OPEN_MAX};
use crate::subject::Subject;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use weir_schemas::wire::{Wire, to_single_object};
use weir_schemas::{Action, ActionId, ActionState};

/// What is to be undone.
#[derive(Debug, Clone, PartialEq)]
pub struct Reinstated {
    /// Of whom.
    pub subject: Subject,
    /// What the log says is in force on an account, and on which partition.
    pub named: Vec<(u32, Action)>,
}

impl Reinstated {
    /// What a record's body says.
    ///
    /// # Errors
    /// What of it cannot be followed.
    pub fn parse(body: &str) -> Result<Self, String> {
        let mut lines = body.trim().lines();
        let subject = Subject::parse(lines.next().unwrap_or_default().trim())?;
        let named: Vec<(u32, Action)> = lines.map(named_in).collect::<Result<_, _>>()?;
        let is_its = |(_, action): &(u32, Action)| {
            subject == Subject::Account(action.account)
                && action.action_id == ActionId::of(action.verdict_id, action.kind)
                && can_be_undone(action)
                && [&action.tenant, &action.policy_version].iter().all(|name| name.len() <= NAME_BYTES_MAX)
        };
        if named.len() > OPEN_MAX || !named.iter().all(is_its) {
            return Err(format!("what is named is not what can be in force on {subject}"));
        }
        Ok(Self { subject, named })
    }

    /// The body of a record.
    pub fn body(&self) -> String {
        let named = self.named.iter();
        let lines = named.map(|(partition, action)| {
            format!("\n{partition} {}", STANDARD.encode(to_single_object(action)))
        });
        std::iter::once(self.subject.to_string()).chain(lines).collect()
    }

    /// What is named of this partition.
    pub(crate) fn named_of(&self, partition: u32) -> impl Iterator<Item = &Action> {
        self.named.iter().filter(move |(of, _)| *of == partition).map(|(_, action)| action)
    }
}

/// Whether an action is in force, or waits to be, and there is something to undo then.
pub fn can_be_undone(action: &Action) -> bool {
    action.kind.has_effect() && (is_in_force(action) || action.state == ActionState::Pending)
}

fn named_in(line: &str) -> Result<(u32, Action), String> {
    let malformed = || "a line must be a partition and an action in base64".to_owned();
    let (partition, action) = line.split_once(' ').ok_or_else(malformed)?;
    let partition = partition.parse().map_err(|_| malformed())?;
    let action = STANDARD.decode(action.trim()).map_err(|_| malformed())?;
    let action = Wire::new().read::<Action>(&action);
    Ok((partition, action.map_err(|error| format!("an action that is named cannot be read: {error}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::account;
    use weir_schemas::{ActionKind, VerdictId};

    fn suspended(number: u32, state: ActionState) -> Action {
        let verdict_id = VerdictId([number as u8; 16]);
        let kind = ActionKind::Suspend;
        let action_id = ActionId::of(verdict_id, kind);
        let account = account(number);
        Action { action_id, verdict_id, account, kind, state, lasts_ms: Some(5), ..Action::default() }
    }

    #[test]
    fn what_is_named_reads_as_it_is_written_and_without_names_the_body_is_the_subject() {
        let subject = Subject::Account(account(1));
        let named = [ActionState::Done, ActionState::Expired, ActionState::Pending];
        let named = named.map(|state| (3, suspended(1, state))).to_vec();
        let word = Reinstated { subject: subject.clone(), named };
        assert_eq!(Reinstated::parse(&word.body()), Ok(word.clone()));
        assert_eq!((word.named_of(3).count(), word.named_of(2).count()), (3, 0));
        let word = Reinstated { subject, named: Vec::new() };
        assert_eq!(
            (word.body(), Reinstated::parse(&word.body())),
            (word.subject.to_string(), Ok(word.clone()))
        );
    }

    #[test]
    fn what_cannot_be_in_force_on_the_subject_is_refused() {
        let done = suspended(1, ActionState::Done);
        let forged = Action { action_id: ActionId([9; 16]), ..done.clone() };
        let review = Action {
            kind: ActionKind::Review,
            action_id: ActionId::of(done.verdict_id, ActionKind::Review),
            ..done.clone()
        };
        let unending = Action { lasts_ms: None, ..done.clone() };
        let long = Action { tenant: "t".repeat(NAME_BYTES_MAX + 1), ..done.clone() };
        for action in [
            suspended(2, ActionState::Done),
            suspended(1, ActionState::Reverted),
            forged,
            review,
            unending,
            long,
        ] {
            let word = Reinstated { subject: Subject::Account(account(1)), named: vec![(0, action)] };
            assert!(Reinstated::parse(&word.body()).unwrap_err().contains("can be in force"), "{word:?}");
        }
        let of_many =
            Reinstated { subject: Subject::parse("tenant/acme").unwrap(), named: vec![(0, done.clone())] };
        assert!(Reinstated::parse(&of_many.body()).is_err());
        let too_many =
            Reinstated { subject: Subject::Account(account(1)), named: vec![(0, done); OPEN_MAX + 1] };
        assert!(Reinstated::parse(&too_many.body()).is_err());
        let account = account(1);
        for line in ["0", "x wwE=", "0 ?", "0 wwE=", "-1 wwE="] {
            assert!(Reinstated::parse(&format!("account/{account}\n{line}")).is_err(), "{line:?}");
        }
        assert!(Reinstated::parse("").is_err());
    }
}
