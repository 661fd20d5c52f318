//! The account stage: judges one account at a time.
//!
//! An event is counted, shown to the detectors, the account's card is told to the values that it shares when
//! that is due, the detectors are asked, their evidence added, and a verdict is emitted when there is
//! something to say. A word of the cluster stage goes the same way without being counted. Nothing in the
//! judgement of one account depends on another account, nor on how records are cut into epochs.

pub mod links;
mod member;
pub mod state;
mod verdict;

use crate::detector::{AccountView, Counts, FaultHook, Seen};
use crate::detectors::{harvest, rhythm};
use crate::fusion::{Fused, Voice, fuse};
use crate::in_force::{InForce, policy_control};
use crate::limits::{ACCOUNTS_MAX, AHEAD_MAX_MS, EVICTION_GRACE_MS, SAMPLE_WEIGHT_MAX, TIME_MS_MAX};
use crate::persist::Persist;
use crate::policy::{Policy, Rules};
use crate::profile::Profile;
use crate::refuse::{Refusal, Tallies, dead_letter};
use crate::store::Store;
use crate::version::{JudgeHook, judge_of};
use links::Shared;
use member::is_news;
use state::Account;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_schemas::bundle::Trust;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Body, Card, Cluster, DlqKind, Event, Judge, Link, Origin, Record, Verdict, VerdictId,
};
use weir_topology::record::{Output, RecordRef, Records};
use weir_topology::stage::{Batch, Effects, InputBatch, Stage, StateEntry, StateError, Tally};
use weir_topology::topic::{StageName, Topic};

/// Version of the encoding of account entries.
pub const STATE_FORMAT: i32 = 5;

/// Records whose accounts are fetched at once: more than a processor fetches at a time.
const LOOK_AHEAD: usize = 16;

/// The account stage of one task.
pub struct AccountStage {
    wire: Arc<Wire>,
    policy: InForce,
    accounts: Store<AccountId, Account>,
    accounts_max: usize,
    /// What detectors forgot of accounts that were taken back.
    forgotten: Tallies,
    /// Accounts that adopted epochs touched, with their tenants.
    adopted: BTreeMap<AccountId, String>,
    fault: FaultHook,
    hook: JudgeHook,
}

/// What a step has made so far.
#[derive(Default)]
struct Work {
    outputs: Vec<Output>,
    tallies: Tallies,
    judged: u64,
    dead_lettered: u64,
    clock_ms: i64,
    hook: JudgeHook,
    /// Accounts that were touched, where another judge recorded the epoch and nothing is said.
    silent: Option<BTreeMap<AccountId, String>>,
}

/// What a judgement is made for: the place and cause that its outputs name.
struct Cause<'a> {
    time_ms: i64,
    tenant: &'a str,
    account: AccountId,
    origin: Origin,
    epoch: i64,
    partition: u32,
}

impl Work {
    /// Notes that another judge's epoch touches an account.
    fn touch(&mut self, cause: &Cause<'_>) {
        if let Some(touched) = &mut self.silent {
            touched.insert(cause.account, cause.tenant.to_owned());
        }
    }
}

impl AccountStage {
    /// A stage without accounts, judging by `policy` until another is published.
    pub fn new(wire: Arc<Wire>, policy: Arc<Policy>) -> Self {
        Self {
            wire,
            policy: InForce::new(policy),
            accounts: Store::default(),
            accounts_max: ACCOUNTS_MAX,
            forgotten: Tallies::default(),
            adopted: BTreeMap::new(),
            fault: FaultHook::default(),
            hook: JudgeHook::default(),
        }
    }

    /// The same stage with another judge, in a test.
    #[cfg(feature = "planted")]
    pub fn judged_by(self, hook: JudgeHook) -> Self {
        Self { hook, ..self }
    }

    /// The same stage with another cap on accounts; beyond it the longest idle are forgotten at the
    /// end of an epoch.
    pub fn with_accounts_max(mut self, accounts_max: usize) -> Self {
        self.accounts_max = accounts_max.max(1);
        self
    }

    /// The same stage where only policies come in force that `trust` admits.
    pub fn trusting(self, trust: Option<Arc<Trust>>) -> Self {
        Self { policy: self.policy.trusting(trust), ..self }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    #[cfg(test)]
    fn with_fault_in(mut self, detector: &'static str) -> Self {
        self.fault = FaultHook { detector: Some(detector) };
        self
    }

    fn control(&mut self, record: RecordRef<'_>, work: &mut Work) -> Result<(), Refusal> {
        let Some(control) = policy_control(&self.wire, record)? else { return Ok(()) };
        self.policy.put(&control, record.timestamp_ms).map_err(|refused| {
            work.tallies.add(refused.tally(), 1);
            Refusal { kind: DlqKind::InvalidField, reason: refused.to_string() }
        })
    }

    fn cluster(
        &mut self,
        record: RecordRef<'_>,
        key: Option<AccountId>,
        batch: &Batch,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        let cluster: Cluster = self.wire.read(record.payload.unwrap_or_default())?;
        check_key(key, cluster.account)?;
        check_time(cluster.time_ms)?;
        let horizon_ms = self.policy.account_horizon_ms();
        let Some(account) = self.accounts.change(cluster.account) else { return Ok(()) };
        // By its own time the account is forgotten already, whether or not it is still in memory.
        if cluster.time_ms > account.profile.clock_ms.saturating_add(horizon_ms) {
            return Ok(());
        }
        let (rules, seen) = (self.policy.of(&cluster.tenant), Seen::Cluster(&cluster));
        let links_before: Vec<_> = account.profile.words.linking(account.profile.clock_ms).collect();
        account.profile.observe(account.profile.clock_ms, 1, seen);
        let faults = account.detectors.observe(seen, account.profile.clock_ms, &rules.detectors, self.fault);
        account.note_faults(faults);
        work.tallies.add_each(Tally::DetectorFaults, faults);
        let cause = Cause {
            // Word of a link may arrive after later events of the account: its time never runs back.
            time_ms: cluster.time_ms.max(account.profile.clock_ms),
            tenant: &cluster.tenant,
            account: cluster.account,
            origin: account.origin(),
            epoch: batch.epoch,
            partition: batch.partition,
        };
        work.touch(&cause);
        let judged = judge(account, &cause, rules, &self.wire, work);
        if !judged.is_said && work.silent.is_none() {
            let links: Vec<_> = account.profile.words.linking(account.profile.clock_ms).collect();
            if is_news(account.voice.tier(), &links_before, &links) {
                tell_member(account, &cause, &judged.fused, rules, &self.wire, work, None);
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        record: RecordRef<'_>,
        key: Option<AccountId>,
        batch: &Batch,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        let datum = self.wire.datum::<Event<'_>>(record.payload.unwrap_or_default())?;
        let event = Event::decode(&datum)?;
        check_key(key, event.account)?;
        check_time(event.time_ms)?;
        check_ahead(event.time_ms, record.timestamp_ms)?;
        work.clock_ms = work.clock_ms.max(event.time_ms);
        let (rules, horizon_ms) = (self.policy.of(event.tenant), self.policy.account_horizon_ms());
        let account = self.accounts.change_or_insert(event.account, || Account::new(event.time_ms));
        if event.time_ms > account.profile.clock_ms.saturating_add(horizon_ms) {
            *account = Account::new(event.time_ms);
            work.tallies.add(Tally::Expired, 1);
        }
        let seen = match &event.body {
            Body::Request(request) => Seen::Request(request),
            Body::Response(response) => Seen::Response(response),
        };
        let pause_ms = event.time_ms - account.profile.clock_ms;
        let weight = event.sample_weight.clamp(1, SAMPLE_WEIGHT_MAX) as u32;
        if !account.profile.observe(event.time_ms, weight, seen) {
            work.tallies.add(Tally::LateEvents, 1);
        }
        account.remember(event.event_id, event.origin);
        let faults = account.detectors.observe(seen, account.profile.clock_ms, &rules.detectors, self.fault);
        account.note_faults(faults);
        work.tallies.add_each(Tally::DetectorFaults, faults);
        let cause = Cause {
            time_ms: event.time_ms,
            tenant: event.tenant,
            account: event.account,
            origin: event.origin,
            epoch: batch.epoch,
            partition: batch.partition,
        };
        work.touch(&cause);
        if let Body::Request(request) = &event.body {
            account.links.observe(request);
            account.asks.observe(request);
            tell(account, &cause, &self.wire, work);
        }
        if is_worth_judging(&account.profile, pause_ms) {
            judge(account, &cause, rules, &self.wire, work);
        }
        account.age_faults();
        Ok(())
    }

    fn fold(&mut self, input: &InputBatch, batch: &Batch, work: &mut Work) {
        let mut keys = [None; LOOK_AHEAD];
        for (index, record) in input.records.iter().enumerate() {
            if index % LOOK_AHEAD == 0 && input.topic != Topic::Control {
                let key = |index| AccountId::from_key(input.records.get(index)?.key).ok();
                keys = std::array::from_fn(|ahead| key(index + ahead));
                self.accounts.touch(&keys);
            }
            let key = keys[index % LOOK_AHEAD];
            let folded = match input.topic {
                Topic::Control => self.control(record, work),
                Topic::Clusters => self.cluster(record, key, batch, work),
                Topic::Events => self.event(record, key, batch, work),
                _ => Err(Refusal::impossible("the account stage does not read this topic")),
            };
            match folded {
                Ok(()) => work.judged += 1,
                // Every task reads the one partition of control; one of them writes the letter.
                Err(_) if input.topic == Topic::Control && batch.partition != 0 => work.judged += 1,
                Err(refusal) => {
                    work.dead_lettered += 1;
                    let letter = dead_letter(&self.wire, StageName::Account, input, record, refusal);
                    work.outputs.push(letter);
                }
            }
        }
    }

    /// Folds a whole epoch; in silence where `touched` gathers the accounts that another judge's epoch
    /// touches.
    fn fold_all(&mut self, batch: &Batch, touched: Option<BTreeMap<AccountId, String>>) -> Effects {
        let mut work = Work { clock_ms: batch.clock_ms, hook: self.hook, silent: touched, ..Work::default() };
        // By the clock before the epoch, which in lockstep is the same for every partition.
        let limit_ms = batch.clock_ms.saturating_sub(self.policy.account_horizon_ms() + EVICTION_GRACE_MS);
        work.tallies.add(Tally::Expired, self.accounts.expire(limit_ms));
        for input in &batch.inputs {
            self.fold(input, batch, &mut work);
        }
        work.tallies.add(Tally::EvictedByCap, self.accounts.evict_to(self.accounts_max));
        self.adopted = work.silent.take().unwrap_or_default();
        self.effects(work)
    }

    fn effects(&self, work: Work) -> Effects {
        Effects {
            outputs: work.outputs,
            judged: work.judged,
            dead_lettered: work.dead_lettered,
            clock_ms: work.clock_ms,
            policy_version: self.policy.version.clone(),
            tallies: work.tallies.counted(),
            ..Effects::default()
        }
    }
}

fn check_key(key: Option<AccountId>, account: AccountId) -> Result<(), Refusal> {
    if account == AccountId::default() {
        return Err(Refusal::impossible("the account id is zero"));
    }
    if key == Some(account) {
        return Ok(());
    }
    Err(Refusal::impossible("the record's key is not its account"))
}

/// By the log's time of the record, where the log says one.
fn check_ahead(time_ms: i64, log_ms: i64) -> Result<(), Refusal> {
    let ahead_ms = time_ms.saturating_sub(log_ms);
    if log_ms <= 0 || ahead_ms <= AHEAD_MAX_MS {
        return Ok(());
    }
    Err(Refusal {
        kind: DlqKind::FutureTime,
        reason: format!(
            "the time is {} h ahead of the log's: check the clock of the node that sensed it. It can be \
             requeued when that time has come",
            ahead_ms / 3_600_000
        ),
    })
}

pub(crate) fn check_time(time_ms: i64) -> Result<(), Refusal> {
    if (1..=TIME_MS_MAX).contains(&time_ms) {
        return Ok(());
    }
    Err(Refusal::impossible("the time is before 1970 or after the year 9999"))
}

/// Requests up to which an account is judged at each event, and the pause after which it is.
const JUDGED_SINGLY: u32 = 64;
const JUDGED_AFTER_MS: i64 = 60_000;

/// Whether an event can have changed what the detectors say. Of an account with many requests one changes
/// little.
fn is_worth_judging(profile: &Profile, pause_ms: i64) -> bool {
    let requests = profile.behaviour.requests;
    requests < JUDGED_SINGLY || requests.is_multiple_of(8) || pause_ms >= JUDGED_AFTER_MS
}

/// Tells the account's card to the values that it shares, when a round is due.
fn tell(account: &mut Account, cause: &Cause<'_>, wire: &Wire, work: &mut Work) {
    let behaviour = &account.profile.behaviour;
    // What an account is like is worked out only where it may be told.
    let view = LazyCell::new(|| account.profile.view());
    let is_human = LazyCell::new(|| rhythm::may_be_person(&view));
    let round = account.links.round(behaviour, account.profile.clock_ms, || *is_human);
    if round.is_empty() {
        return;
    }
    let card = card_of(&view, *is_human);
    let theme = &account.profile.theme;
    let openings = &account.profile.openings;
    let (cells, told) = match asks_anew(&view) {
        true => (theme.cells(), openings.told().collect()),
        false => (Vec::new(), Vec::new()),
    };
    let of_theme = Card { theme: theme.to_bytes(), ..card.clone() };
    let of_stock = Card { openings: openings.stock().to_bytes(), ..card.clone() };
    // Who pays is taken for the owner where no organisation is declared, and a declared one for itself. An
    // owner is told what harvests ask, and of others only that they are there; who pays for an organisation,
    // only that the account is there.
    let quiet = Card { length_millinats: -1, length_spread: -1, novelty_permille: -1, ..card.clone() };
    let of_owner = if harvest::is_told(&view) { &card } else { &quiet };
    let of_payer = if behaviour.org.value() == 0 { of_owner } else { &quiet };
    let payers: Vec<Shared> = round.iter().filter_map(|shared| shared.payer(behaviour)).collect();
    let owner = Shared::organisation(behaviour).filter(|_| !payers.is_empty());
    let owners =
        payers.into_iter().map(|payer| (payer, of_payer)).chain(owner.map(|owner| (owner, of_owner)));
    let disguise = account.detectors.disguise.library().map(|library| (Shared::disguise(library), &card));
    let themes = cells.into_iter().map(|cell| (Shared::theme(cell), &of_theme));
    let openings = told.into_iter().map(|opening: u32| (Shared::opening(opening), &of_stock));
    let values = round.into_iter().map(|shared| (shared, &card));
    for (shared, card) in values.chain(owners).chain(disguise).chain(themes).chain(openings) {
        let link = Link {
            time_ms: cause.time_ms,
            tenant: cause.tenant.to_owned(),
            kind: shared.kind(),
            value: shared.value,
            account: cause.account,
            event_id: account.last_event().unwrap_or_default(),
            account_first_ms: account.profile.first_ms,
            card: card.clone(),
        };
        let key = format!("{}/{}", link.kind, link.value).into_bytes();
        work.outputs.push(Output::keyed(Topic::Links, key, wire.to_bytes(&link), cause.time_ms));
    }
}

/// Share of texts that are new, in thousandths, from which an account asks ever new things.
const NEW_PERMILLE_MIN: i32 = 700;

/// Whether an account asks ever new things on nobody's behalf: an application's prompts are of one kind by
/// nature.
fn asks_anew(view: &AccountView<'_>) -> bool {
    let novelty = view.novelty_permille.unwrap_or(0);
    view.profile.behaviour.preamble.value() == 0 && novelty >= NEW_PERMILLE_MIN
}

/// What an account does, as values are told.
fn card_of(view: &AccountView<'_>, is_human: bool) -> Card {
    let behaviour = &view.profile.behaviour;
    let has_prompts = behaviour.lengths.count() > 0;
    let of_prompts = |value| if has_prompts { value } else { -1 };
    Card {
        requests: behaviour.requests.into(),
        age_ms: view.age_ms,
        pause_millinats: view.pace.mean,
        pause_spread: view.pace.spread,
        length_millinats: of_prompts(behaviour.lengths.mean()),
        length_spread: of_prompts(behaviour.lengths.spread()),
        novelty_permille: view.novelty_permille.unwrap_or(-1),
        busy_permille: (view.busy_hours * 1_000 / view.hours) as i32,
        limit: behaviour.limit.value().into(),
        is_human,
        org: behaviour.org.value().into(),
        payment: behaviour.payment.value().into(),
        theme: Vec::new(),
        openings: Vec::new(),
    }
}

/// What a judgement came to, and whether a verdict says so.
struct Judged {
    fused: Fused,
    is_said: bool,
}

/// Asks the detectors, and emits a verdict when there is something to say.
fn judge(account: &mut Account, cause: &Cause<'_>, rules: &Rules, wire: &Wire, work: &mut Work) -> Judged {
    let view = account.profile.view();
    let (evidence, faults) = account.detectors.judge(&view, &rules.detectors);
    let fused = work.hook.see(fuse(&evidence, rules), rules);
    let now_ms = view.now_ms;
    if !faults.is_empty() {
        work.tallies.add_each(Tally::DetectorFaults, faults);
        account.note_faults(faults);
    }
    let is_said = work.silent.is_none() && account.voice.speaks(fused.tier, now_ms, rules);
    if is_said {
        speak(account, cause, &fused, rules, wire, work);
    }
    Judged { fused, is_said }
}

/// Emits a verdict, which the account's voice has decided to.
fn speak(account: &Account, cause: &Cause<'_>, fused: &Fused, rules: &Rules, wire: &Wire, work: &mut Work) {
    work.tallies.add(Tally::of_tier(fused.tier), 1);
    let verdict = verdict::build(account, cause, fused, rules);
    let key = cause.account.to_key();
    work.outputs.push(Output::keyed(Topic::Verdicts, key, wire.to_bytes(&verdict), cause.time_ms));
    tell_member(account, cause, fused, rules, wire, work, Some(verdict.verdict_id));
}

/// Tells the campaign stage what speaks for the account itself and what links it with others.
fn tell_member(
    account: &Account,
    cause: &Cause<'_>,
    fused: &Fused,
    rules: &Rules,
    wire: &Wire,
    work: &mut Work,
    verdict: Option<VerdictId>,
) {
    let member = member::build(account, cause, fused, rules, verdict);
    let key = cause.account.to_key();
    work.outputs.push(Output::keyed(Topic::Members, key, wire.to_bytes(&member), cause.time_ms));
}

impl Stage for AccountStage {
    fn name(&self) -> StageName {
        StageName::Account
    }

    fn judge(&self, batch: &Batch) -> Judge {
        judge_of(self.hook, &self.wire, &self.policy, batch)
    }

    fn step(&mut self, batch: &Batch) -> Effects {
        self.fold_all(batch, None)
    }

    fn adopt(&mut self, batch: &Batch, said: &[Records]) -> Result<(), StateError> {
        let touched = std::mem::take(&mut self.adopted);
        self.fold_all(batch, Some(touched));
        for record in said.iter().flat_map(Records::iter) {
            // The runner has held them against the digest that the epoch recorded.
            let Ok(verdict) = self.wire.read::<Verdict>(record.payload.unwrap_or_default()) else { continue };
            let new = || Account::new(verdict.time_ms);
            let account = self.accounts.change_or_insert(verdict.account, new);
            account.voice = Voice::said(verdict.tier, verdict.time_ms, verdict.sequence);
            self.adopted.insert(verdict.account, verdict.tenant);
        }
        Ok(())
    }

    fn rejudge(&mut self, batch: &Batch) -> (Effects, u64) {
        let mut work = Work { clock_ms: batch.clock_ms, hook: self.hook, ..Work::default() };
        let mut judged = 0;
        for (id, tenant) in std::mem::take(&mut self.adopted) {
            let Some(account) = self.accounts.change(id) else { continue };
            // It was forgotten in between: only what was said of it is known, and that stands until it does
            // something.
            if account.last_event().is_none() {
                continue;
            }
            judged += 1;
            let (view, rules) = (account.profile.view(), self.policy.of(&tenant));
            let (evidence, faults) = account.detectors.judge(&view, &rules.detectors);
            let fused = self.hook.see(fuse(&evidence, rules), rules);
            work.tallies.add_each(Tally::DetectorFaults, faults);
            let now_ms = view.now_ms;
            account.note_faults(faults);
            // What was said stands; the same is not said again for no more reason than that somebody else
            // says it.
            let differs = !account.voice.holds(fused.tier);
            if differs && account.voice.speaks(fused.tier, now_ms, rules) {
                let (epoch, partition) = (batch.epoch, batch.partition);
                let (origin, tenant) = (account.origin(), &tenant);
                let cause = Cause { time_ms: now_ms, tenant, account: id, origin, epoch, partition };
                speak(account, &cause, &fused, rules, &self.wire, &mut work);
            }
        }
        work.tallies.add(Tally::EvictedByCap, self.accounts.evict_to(self.accounts_max));
        (self.effects(work), judged)
    }

    fn state_format(&self) -> i32 {
        STATE_FORMAT
    }

    fn changed(&self) -> usize {
        self.accounts.changed() + self.policy.changed()
    }

    fn take_changes(&mut self) -> Vec<StateEntry> {
        let mut entries = self.policy.take_change();
        self.accounts.take_changes(|id, account| {
            entries.push(StateEntry { key: id.to_key(), body: account.map(saved) });
        });
        entries
    }

    fn survey(&self, from: u64, entries_max: usize) -> (Vec<StateEntry>, Option<u64>) {
        let mut entries = Vec::new();
        // A built-in policy too: another build may have another one.
        if from == 0 {
            entries.extend(self.policy.entries());
        }
        let place = u32::try_from(from).unwrap_or(u32::MAX);
        let next = self.accounts.survey(place, entries_max, |id, account| {
            entries.push(StateEntry { key: id.to_key(), body: Some(saved(account)) });
        });
        (entries, next.map(u64::from))
    }

    fn restore(&mut self, key: &[u8], format: i32, body: &[u8]) -> Result<(), StateError> {
        restore_entry(key, format, STATE_FORMAT, || {
            if InForce::is_its(key) {
                return self.policy.restore(key, body);
            }
            let id = AccountId::from_key(key).map_err(|error| error.to_string())?;
            let (mut input, mut forgotten) = (body, Counts::default());
            let account = Account::load(&mut input, &mut forgotten).map_err(|damage| damage.to_string())?;
            all_was_read(input)?;
            self.forgotten.add_each(Tally::DetectorForgot, forgotten);
            self.accounts.restore(id, account);
            Ok(())
        })
    }

    fn take_losses(&mut self) -> Vec<(Tally, u64)> {
        std::mem::take(&mut self.forgotten).counted()
    }

    fn forget(&mut self, key: &[u8]) {
        // A key that is not an account has no entry.
        if let Ok(id) = AccountId::from_key(key) {
            self.accounts.forget(id);
        }
    }

    fn entries(&self) -> usize {
        self.accounts.len()
    }
}

fn saved(account: &Account) -> Vec<u8> {
    let mut body = Vec::with_capacity(512);
    account.save(&mut body);
    body
}

/// Reads an entry to its last byte.
pub(crate) fn load_whole<T: Persist>(body: &[u8]) -> Result<T, String> {
    let mut input = body;
    let value = T::load(&mut input).map_err(|damage| damage.to_string())?;
    all_was_read(input).map(|()| value)
}

fn all_was_read(rest: &[u8]) -> Result<(), String> {
    if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes follow it", rest.len())) }
}

/// Refuses another format, and names the entry in whatever else goes wrong.
pub(crate) fn restore_entry(
    key: &[u8],
    found: i32,
    expected: i32,
    restore: impl FnOnce() -> Result<(), String>,
) -> Result<(), StateError> {
    let key = String::from_utf8_lossy(key).into_owned();
    if found != expected {
        return Err(StateError::Format { key, found, expected });
    }
    restore().map_err(|reason| StateError::Damaged { key, reason })
}

#[cfg(test)]
mod tests;
