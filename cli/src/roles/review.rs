//! What analysts are asked and what they say, from `weir.state.enforcer` and on `weir.control`.
//!
//! The queue is what enforcers hold of it, as of their last snapshots. A word is held against it before it is
//! said; whether it is followed, is for the enforcer that has the account.

use crate::context::{Context, now_ms};
use crate::keys::{Role, random, read_person, read_root};
use crate::output::Answer;
use crate::roles::control::{Said, is_held, say};
use crate::roles::kill_switch::{self, PersonFlags};
use crate::roles::records::enforcer_state;
use crate::times::second_of;
use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use weir_enforcer::kill_switch::PersonKey;
use weir_enforcer::review::{ITEM_PREFIX, Item, Queue, Says, Word, labels};
use weir_schemas::wire::Wire;
use weir_schemas::{ActionId, VerdictId};
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// Which items are listed.
pub struct Wanted {
    /// Those that are decided, too.
    pub all: bool,
    /// Only those that this person looks at.
    pub of: Option<String>,
}

/// `weir review list`. Exits with 1 where one is overdue.
pub fn list(context: &Context, wanted: &Wanted, is_json: bool) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let queue = queue(log.as_ref(), &wire)?;
    let now_ms = now_ms();
    let is_wanted =
        |item: &&Item| (wanted.all || item.is_open()) && (wanted.of.is_none() || item.assignee == wanted.of);
    let mut items: Vec<&Item> = queue.items().filter(is_wanted).collect();
    // What waits by when it is due, so that what is overdue is first; then what is decided, the latest first.
    items.sort_by_key(|item| match &item.decided {
        None => (false, item.due_ms, item.action_id),
        Some(decided) => (true, -decided.at_ms, item.action_id),
    });
    let overdue = items.iter().filter(|item| is_overdue(item, now_ms)).count();
    if is_json {
        let items: Vec<_> = items.iter().map(|item| shown(item, now_ms)).collect();
        print_line!("{}", serde_json::to_string_pretty(&items)?);
    } else {
        for item in &items {
            print_line!("{}", line(item, now_ms));
        }
        let waiting = items.iter().filter(|item| item.is_open()).count();
        print_line!("{waiting} accounts wait for an analyst, {overdue} of them overdue.");
    }
    Ok(if overdue > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn is_overdue(item: &Item, now_ms: i64) -> bool {
    item.is_open() && item.due_ms <= now_ms
}

/// An item on one line.
fn line(item: &Item, now_ms: i64) -> String {
    let state = match &item.decided {
        Some(decided) => format!("{} by {} {}", decided.decision, decided.by, second_of(decided.at_ms)),
        None if is_overdue(item, now_ms) => format!("OVERDUE since {}", second_of(item.due_ms)),
        None => format!("due {}", second_of(item.due_ms)),
    };
    let assignee = item.assignee.as_deref().unwrap_or("nobody");
    let Item { action_id, account, kind, tier, .. } = item;
    format!("{action_id}  {state}  {tier} {kind}  account/{account}  {assignee}")
}

/// An item as an object, whose keys are an interface.
fn shown(item: &Item, now_ms: i64) -> serde_json::Value {
    json!({
        "item": item.action_id.to_string(),
        "account": item.account.to_string(),
        "tenant": item.tenant,
        "verdict_id": item.verdict_id.to_string(),
        "latest_verdict_id": item.latest_verdict_id.to_string(),
        "kind": item.kind.as_str(),
        "tier": item.tier.as_str(),
        "actions": item.actions,
        "opened_ms": item.opened_ms,
        "due_ms": item.due_ms,
        "overdue": is_overdue(item, now_ms),
        "assignee": item.assignee,
        "decided": item.decided,
        "notes": item.notes,
    })
}

/// `weir review show ITEM`.
pub fn show(context: &Context, id: ActionId, is_json: bool) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let queue = queue(log.as_ref(), &wire)?;
    let item = known(&queue, id)?;
    if is_json {
        print_line!("{}", serde_json::to_string_pretty(&shown(item, now_ms()))?);
        return Ok(ExitCode::SUCCESS);
    }
    print_line!("{}", line(item, now_ms()));
    let (opened, actions) = (second_of(item.opened_ms), item.actions);
    print_line!("waits since {opened}, tenant {}, {actions} actions asked for a person", item.tenant);
    print_line!("verdict {}: `weir explain {}`", item.verdict_id, item.verdict_id);
    if item.latest_verdict_id != item.verdict_id {
        print_line!("latest verdict {}: `weir explain {}`", item.latest_verdict_id, item.latest_verdict_id);
    }
    for note in &item.notes {
        print_line!("{}  {}: {}", second_of(note.at_ms), note.by, note.text);
    }
    if let Some(decided) = &item.decided {
        print_line!("{}  {}: {}: {}", second_of(decided.at_ms), decided.by, decided.decision, decided.reason);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says something of an item, in the name of an analyst, unless its enforcer would refuse it. A decision is
/// of the item as it is now, or of what was `seen`. Where the log cannot be read because another process has
/// it, the enforcer says.
pub fn tell(
    context: &Context,
    (id, seen): (ActionId, Option<VerdictId>),
    says: Says,
    text: &str,
    person: &PersonFlags,
) -> Result<ExitCode> {
    let root = read_root(&context.given_or_own_keys(Role::Auditor)?, Role::Auditor)?;
    let key = PersonKey::new(&*read_person(&person.key)?);
    let number = random()?;
    let number = [number[0], number[1], number[2], number[3]];
    let queue = match context.existing_log() {
        Ok(log) => {
            let wire = context.wire()?;
            let switch = kill_switch::in_force(log.as_ref(), &wire, root)?;
            Some((queue(log.as_ref(), &wire)?, switch))
        }
        Err(error) if is_held(&error) => None,
        Err(error) => return Err(error),
    };
    let seen = match (&says, &queue) {
        (Says::Assign(_) | Says::Note, _) => None,
        (Says::Decide(_), Some((queue, _))) => seen.or(queue.get(id).map(|item| item.latest_verdict_id)),
        (Says::Decide(_), None) => Some(seen.context(
            "another process has the log: give --seen the verdict_id of the account's last line in analyst_queue.jsonl",
        )?),
    };
    // Of what is in no queue nothing can be decided.
    if queue.is_some() && matches!(says, Says::Decide(_)) && seen.is_none() {
        return Err(unknown(id));
    }
    let word = Word::signed((id, seen), says, text, &person.name, now_ms(), number, &key, &root);
    let (name, body) = (word.record_name(), serde_json::to_string(&word)?);
    // Before it is said: what nobody would believe need not be.
    Word::read(&body)?;
    let account = match &queue {
        Some((queue, switch)) => {
            queue.hear((&name, &body), now_ms(), Some(root), switch.persons())?;
            Some(known(queue, id)?.account)
        }
        None => None,
    };
    say(context, &[Said::setting(&name, &body)])?;
    print_line!("Word {} is said; its enforcer follows from its next epoch.", word.word_id);
    match account {
        None => print_line!("Another process has the log: audit_log.jsonl says what becomes of it."),
        Some(account) if word.undoes() => {
            print_line!(
                "What is in force on account/{account} is undone then. `weir protect add account/{account}` keeps it from being acted on again."
            );
        }
        Some(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir review labels`: what was decided, a line an account.
pub fn write_labels(context: &Context, out: Option<&Path>) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let labels = labels::of(queue(log.as_ref(), &wire)?.items());
    let mut text = Vec::new();
    for label in &labels {
        serde_json::to_writer(&mut text, label)?;
        text.push(b'\n');
    }
    match out {
        None => Answer.write_all(&text)?,
        Some(path) => {
            fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
            print_line!("{} labels in {}.", labels.len(), path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn known(queue: &Queue, id: ActionId) -> Result<&Item> {
    queue.get(id).ok_or_else(|| unknown(id))
}

fn unknown(id: ActionId) -> anyhow::Error {
    anyhow!(
        "{id} is not in the queue: `weir review list --all` lists it within seconds of the action that opens it"
    )
}

/// What every enforcer holds, together.
fn queue(log: &dyn Log, wire: &Wire) -> Result<Queue> {
    let mut queue = Queue::default();
    for partition in 0..log.partitions(Topic::StateEnforcer)? {
        let items = enforcer_state(log, wire, partition, |key| key.starts_with(ITEM_PREFIX.as_bytes()))?;
        for (key, body) in items {
            let restored = queue.restore(&key, &body).unwrap_or(Ok(()));
            restored.map_err(anyhow::Error::msg).with_context(|| {
                let key = String::from_utf8_lossy(&key).into_owned();
                format!("the item {key} cannot be read: use the release that wrote it")
            })?;
        }
    }
    Ok(queue)
}
