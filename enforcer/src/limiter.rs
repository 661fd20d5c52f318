//! How many accounts may be acted on, and how much traffic may be cut off with them, before a person is
//! asked: the blast-radius limiter.
//!
//! A detector that goes wrong goes wrong on many accounts at once, or on those that ask for most. So the
//! accounts that are acted on for the first time in an hour are counted, with the requests that they made in
//! the day before, over all tenants and of each, and over the cap the limiter pauses:
//! nothing that reaches further than a person's desk is done, to anybody or to that tenant's accounts, until
//! an operator approves. Enforcers are one a partition, so each has its part of the cap. What is found of
//! each tenant is counted here, too, for storms: there is one bound on tenants.

use crate::limits::{ACCOUNTS_TOLD_MAX, NAME_BYTES_MAX, TENANTS_COUNTED_MAX};
use counted::{Acted, Counted};
use std::collections::BTreeMap;

mod counted;
mod found;
mod limit;

pub use counted::{Pause, counted_until};
pub use found::Found;
pub use limit::Limit;

/// Name of the control record of kind SETTING that says how many accounts may be acted on in an hour. With
/// `/` and a tenant behind it, it says how many of that tenant's may: its body is what [`tenant_cap_in`]
/// reads.
pub const LIMIT_NAME: &str = "act.limit";

/// Name of the control record of kind SETTING by which an operator approves: its body is the time up to which
/// pauses are over, in milliseconds. So an approval is of pauses that its author knew of, and of no later
/// one. With `/` and a tenant behind it, it is of that tenant's pause; without, of the one that holds for all
/// tenants.
pub const RESUME_NAME: &str = "act.resume";

/// Body of the control record that leaves a tenant with no cap of its own.
const DEFAULT: &str = "default";

/// Whom a limiter's word or pause concerns: one tenant, or all of them together.
pub type Whose = Option<String>;

/// The name of a control record about `whose`, which begins with `prefix`.
pub fn record_of(prefix: &str, whose: Option<&str>) -> String {
    whose.map_or_else(|| prefix.to_owned(), |tenant| format!("{prefix}/{tenant}"))
}

/// Whom the record of this name concerns; none where its name does not begin with `prefix`. The error says
/// what is allowed, for the operator.
pub fn whose(prefix: &str, name: &str) -> Option<Result<Whose, String>> {
    let rest = name.strip_prefix(prefix)?;
    if rest.is_empty() {
        return Some(Ok(None));
    }
    let tenant = rest.strip_prefix('/')?;
    let is_name = !tenant.is_empty() && tenant.len() <= NAME_BYTES_MAX && tenant != EVERYBODY;
    Some(if is_name {
        Ok(Some(tenant.to_owned()))
    } else {
        Err(format!("a tenant's name has 1 to {NAME_BYTES_MAX} bytes and is not {EVERYBODY}"))
    })
}

/// What audit records call all tenants together. A tenant that calls itself so has no cap of its own.
const EVERYBODY: &str = crate::stage::EVERY_TENANT;

/// Reads `accounts N`, a tenant's cap in accounts an hour over all partitions, or `default`: none of its own.
/// The error says what is allowed, for the operator.
pub fn tenant_cap_in(body: &str) -> Result<Option<u64>, String> {
    if body.trim() == DEFAULT {
        return Ok(None);
    }
    let number = body.trim().strip_prefix("accounts ").and_then(|number| number.parse().ok());
    let number = number.filter(|number| (1..=ACCOUNTS_TOLD_MAX).contains(number));
    let refused = || format!("a tenant's limit must be: accounts 1 to {ACCOUNTS_TOLD_MAX}, or {DEFAULT}");
    number.map(Some).ok_or_else(refused)
}

/// What [`tenant_cap_in`] reads.
pub fn tenant_cap_body(cap: Option<u64>) -> String {
    cap.map_or_else(|| DEFAULT.to_owned(), |accounts| format!("accounts {accounts}"))
}

/// The limiter of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limiter {
    limit: Limit,
    all: Counted,
    /// Tenants that have a cap of their own, of whom accounts count, or that pause.
    tenants: BTreeMap<String, OfTenant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct OfTenant {
    /// Its own cap over all partitions, in accounts an hour.
    cap: Option<u64>,
    counted: Counted,
    /// Its accounts that were found at CRITICAL.
    found: Found,
}

/// What the limiter says to one more account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It may be acted on, and counts.
    Admitted,
    /// It may not, and from now on nobody of these may.
    PausesNow(Whose, Pause),
}

impl Limiter {
    /// The limit in force.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Sets another limit. A pause goes on: it waits for an operator's approval and for nothing else.
    pub fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// The tenant's own cap over all partitions, in accounts an hour.
    pub fn tenant_cap(&self, tenant: &str) -> Option<u64> {
        self.tenants.get(tenant)?.cap
    }

    /// Gives a tenant a cap of its own, or takes it away. A pause goes on.
    pub fn set_tenant_cap(&mut self, tenant: &str, cap: Option<u64>) {
        self.tenants.entry(tenant.to_owned()).or_default().cap = cap;
        self.forget_if_empty(tenant);
    }

    /// Whether what a tenant's accounts come to is counted by itself. Of nobody's accounts, and of those
    /// whose tenant calls itself what audit records call everybody, no pause could be ended; and there is no
    /// room for any number of tenants.
    pub fn counts_alone(&self, tenant: &str) -> bool {
        let is_name = !tenant.is_empty() && tenant != EVERYBODY;
        is_name && (self.tenants.contains_key(tenant) || !self.is_full())
    }

    /// What was found of a tenant's accounts; none where it is not known.
    pub fn found_of(&self, tenant: &str) -> Option<&Found> {
        Some(&self.tenants.get(tenant)?.found)
    }

    /// The same, to count in; none where the tenant is not counted by itself.
    pub fn found_of_mut(&mut self, tenant: &str) -> Option<&mut Found> {
        let counts = self.counts_alone(tenant);
        counts.then(|| &mut self.tenants.entry(tenant.to_owned()).or_default().found)
    }

    /// The tenant of which most accounts were found in a minute, and how many.
    pub fn most_found(&self, minute: i64) -> Option<(&str, u64)> {
        let found = self.tenants.iter().map(|(tenant, of)| (tenant.as_str(), of.found.of(minute)));
        found.max_by_key(|(_, accounts)| *accounts)
    }

    /// Whether no further tenant may be given a cap of its own.
    pub fn is_full(&self) -> bool {
        self.tenants.len() >= TENANTS_COUNTED_MAX
    }

    /// Tenants of whom something is remembered.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.tenants.keys().map(String::as_str)
    }

    /// The pause of all tenants that waits for an operator.
    pub fn pause(&self) -> Option<&Pause> {
        self.all.pause.as_ref()
    }

    /// The pause of `whose`.
    pub fn pause_of(&self, whose: Option<&str>) -> Option<&Pause> {
        match whose {
            Some(tenant) => self.tenants.get(tenant)?.counted.pause.as_ref(),
            None => self.pause(),
        }
    }

    /// The pause that keeps accounts of this tenant from being acted on.
    pub fn withholds(&self, tenant: &str) -> Option<&Pause> {
        self.pause().or_else(|| self.pause_of(Some(tenant)))
    }

    /// How many tenants pause, each by itself.
    pub fn tenants_paused(&self) -> usize {
        self.tenants.values().filter(|tenant| tenant.counted.pause.is_some()).count()
    }

    /// Whether an account that was counted at `counted_ms` still counts at `taken_ms`, and so needs no room
    /// of its own.
    pub fn still_counts(counted_ms: Option<i64>, taken_ms: i64) -> bool {
        counted_ms.is_some_and(|counted_ms| counted_until(counted_ms) > taken_ms)
    }

    /// Asks for one account of this tenant that does not count yet, and that made so many requests in the day
    /// before. Only where nothing pauses that concerns it.
    pub fn admit(&mut self, tenant: &str, requests: u64, taken_ms: i64) -> Admission {
        let (hour, this_minute) = self.all.at(taken_ms);
        let why = if hour.accounts >= self.limit.cap() {
            format!("{} accounts were acted on within an hour, which is the cap", hour.accounts)
        } else if this_minute.accounts >= self.limit.burst() {
            format!(
                "{} accounts were acted on within a minute, which is half of the hour's cap",
                this_minute.accounts
            )
        } else if let Some(cap) = self.limit.requests_cap().filter(|cap| requests > *cap)
            && !self.all.is_approved(taken_ms)
        {
            format!(
                "an account made {requests} requests in a day, and all that are acted on in an hour may have made {cap}"
            )
        } else if let Some(part) = self.limit.requests_part().filter(|part| hour.requests >= *part) {
            let Acted { accounts, requests } = hour;
            format!(
                "{accounts} accounts were acted on within an hour that made {requests} requests in a day, and \
                 they may have made {part}"
            )
        } else {
            return self.admit_of(tenant, requests, taken_ms);
        };
        let pause = Pause { since_ms: taken_ms, why };
        self.all.pause = Some(pause.clone());
        Admission::PausesNow(None, pause)
    }

    /// The same as to the tenant's own share alone.
    fn admit_of(&mut self, tenant: &str, requests: u64, taken_ms: i64) -> Admission {
        if let Some(of) = self.tenants.get_mut(tenant) {
            let (Acted { accounts, requests }, _) = of.counted.at(taken_ms);
            let is_over = |cap: Option<u64>, counted: u64| cap.is_some_and(|cap| counted >= cap);
            let why = if is_over(self.limit.tenant_cap(of.cap), accounts) {
                Some(format!(
                    "{accounts} accounts of the tenant were acted on within an hour, which is its cap"
                ))
            } else if is_over(self.limit.tenant_requests_part(), requests) {
                Some(format!(
                    "{accounts} accounts of the tenant were acted on within an hour that made {requests} \
                     requests in a day, which is its share"
                ))
            } else {
                None
            };
            if let Some(why) = why {
                let pause = Pause { since_ms: taken_ms, why };
                of.counted.pause = Some(pause.clone());
                return Admission::PausesNow(Some(tenant.to_owned()), pause);
            }
        }
        self.count(tenant, requests, taken_ms);
        Admission::Admitted
    }

    /// Counts an account that is acted on, whoever admitted it, and the requests that it made in the day
    /// before. Of more tenants than are counted one by one, and of nobody's accounts, the cap for all alone
    /// holds.
    pub fn count(&mut self, tenant: &str, requests: u64, taken_ms: i64) {
        self.all.count(requests, taken_ms);
        if self.counts_alone(tenant) {
            self.tenants.entry(tenant.to_owned()).or_default().counted.count(requests, taken_ms);
        }
    }

    /// Begins to pause, or takes over a pause that another build recorded.
    pub fn pauses(&mut self, whose: Option<&str>, pause: Pause) {
        match whose {
            Some(tenant) => self.tenants.entry(tenant.to_owned()).or_default().counted.pause = Some(pause),
            None => self.all.pause = Some(pause),
        }
    }

    /// Whether [`Self::resume`] would end a pause.
    pub fn would_resume(&self, whose: Option<&str>, until_ms: i64) -> bool {
        match whose {
            Some(tenant) => self.tenants.get(tenant).is_some_and(|of| of.counted.would_resume(until_ms)),
            None => self.all.would_resume(until_ms),
        }
    }

    /// An operator approves of a pause that began up to `until_ms`: it is over, the hour begins anew, and for
    /// an hour an account is acted on however much it asks. None where there is none that old. `taken_ms` is
    /// the stage's clock.
    pub fn resume(&mut self, whose: Option<&str>, until_ms: i64, taken_ms: i64) -> Option<Pause> {
        let Some(tenant) = whose else { return self.all.resume(until_ms, taken_ms) };
        let over = self.tenants.get_mut(tenant)?.counted.resume(until_ms, taken_ms);
        self.forget_if_empty(tenant);
        over
    }

    /// Forgets tenants of whom nothing is lost at `taken_ms`; their names.
    pub fn evict(&mut self, taken_ms: i64) -> Vec<String> {
        let is_over =
            |of: &OfTenant| of.cap.is_none() && of.counted.is_over(taken_ms) && of.found.is_over(taken_ms);
        let over = self.tenants.iter().filter(|(_, of)| is_over(of)).map(|(name, _)| name.clone());
        let over: Vec<String> = over.collect();
        over.iter().for_each(|name| drop(self.tenants.remove(name)));
        over
    }

    fn forget_if_empty(&mut self, tenant: &str) {
        if self.tenants.get(tenant).is_some_and(|of| *of == OfTenant::default()) {
            self.tenants.remove(tenant);
        }
    }

    /// The limit on a line; then where there is a pause since when and why, on a line; then minutes, with
    /// their accounts and the requests of these.
    pub fn encode(&self) -> Vec<u8> {
        format!("{}\n{}", self.limit, self.all.encode()).into_bytes()
    }

    /// Takes back what [`Self::encode`] gave.
    pub fn restore(&mut self, body: &[u8]) -> Result<(), String> {
        let damaged = || "what the limiter counts is damaged".to_owned();
        let text = std::str::from_utf8(body).map_err(|_| damaged())?;
        let (limit, counted) = text.split_once('\n').ok_or_else(damaged)?;
        self.limit = Limit::parse(limit)?;
        self.all = Counted::decode(counted).ok_or_else(damaged)?;
        Ok(())
    }

    /// Back to the limit and the counts of a fresh install, but for what tenants have.
    pub fn forget(&mut self) {
        (self.limit, self.all) = (Limit::default(), Counted::default());
    }

    /// The tenant's own cap on a line, what is counted of it, as in [`Self::encode`], and what was found of
    /// it on a line; none where nothing is remembered.
    pub fn encode_of(&self, tenant: &str) -> Option<Vec<u8>> {
        let OfTenant { cap, counted, found } = self.tenants.get(tenant)?;
        Some(format!("{}\n{}\n{}", tenant_cap_body(*cap), counted.encode(), found.encode()).into_bytes())
    }

    /// Takes back what [`Self::encode_of`] gave, and what a build before gave, which found nothing.
    pub fn restore_of(&mut self, tenant: &str, body: &[u8]) -> Result<(), String> {
        let damaged = || "what the limiter counts of a tenant is damaged".to_owned();
        let text = std::str::from_utf8(body).map_err(|_| damaged())?;
        let lines: Vec<&str> = text.split('\n').collect();
        let (cap, pause, minutes, found) = match lines[..] {
            [cap, pause, minutes] => (cap, pause, minutes, Some(Found::default())),
            [cap, pause, minutes, found] => (cap, pause, minutes, Found::decode(found)),
            _ => return Err(damaged()),
        };
        let counted = Counted::decode(&format!("{pause}\n{minutes}")).ok_or_else(damaged)?;
        let of = OfTenant { cap: tenant_cap_in(cap)?, counted, found: found.ok_or_else(damaged)? };
        self.tenants.insert(tenant.to_owned(), of);
        Ok(())
    }

    /// Forgets what [`Self::restore_of`] took.
    pub fn forget_of(&mut self, tenant: &str) {
        self.tenants.remove(tenant);
    }

    /// Whether it is as in a fresh install, but for what tenants have.
    pub fn is_default(&self) -> bool {
        self.limit == Limit::default() && self.all == Counted::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MINUTE_MS;
    use proptest::prelude::*;

    fn limited(floor: u64) -> Limiter {
        let mut limiter = Limiter::default();
        limiter.set_limit(Limit { floor, share_permille: 0, partitions: 1, ..Limit::default() });
        limiter
    }

    /// Accounts of the tenant that are admitted of those that ask, one every `every_ms`.
    fn admitted_of(limiter: &mut Limiter, tenant: &str, from_ms: i64, every_ms: i64, asking: i64) -> i64 {
        let mut admitted = 0;
        for n in 0..asking {
            let is_open = limiter.withholds(tenant).is_none();
            if is_open && limiter.admit(tenant, 10, from_ms + n * every_ms) == Admission::Admitted {
                admitted += 1;
            }
        }
        admitted
    }

    fn admitted(limiter: &mut Limiter, from_ms: i64, every_ms: i64, asking: i64) -> i64 {
        admitted_of(limiter, "acme", from_ms, every_ms, asking)
    }

    /// The same limiter, as its state entries have it.
    fn recorded(limiter: &Limiter) -> Limiter {
        let mut restored = Limiter::default();
        restored.restore(&limiter.encode()).unwrap();
        for tenant in limiter.tenants() {
            restored.restore_of(tenant, &limiter.encode_of(tenant).unwrap()).unwrap();
        }
        restored
    }

    #[test]
    fn over_the_cap_it_pauses_and_stays_paused_until_an_operator_approves() {
        let mut limiter = limited(100);
        // Two a minute, so that the hour holds 120.
        assert_eq!(admitted(&mut limiter, 0, 30_000, 1_000), 100);
        let pause = limiter.pause().unwrap().clone();
        assert_eq!(pause.since_ms, 100 * 30_000);
        assert_eq!(pause.why, "100 accounts were acted on within an hour, which is the cap");
        assert_eq!(
            limiter.resume(None, pause.since_ms - 1, pause.since_ms - 1),
            None,
            "an approval of an earlier pause"
        );
        assert_eq!(limiter.resume(None, pause.since_ms, pause.since_ms), Some(pause));
        assert_eq!(admitted(&mut limiter, 6_000_000, 30_000, 1_000), 100, "the hour begins anew");
    }

    #[test]
    fn a_tenant_over_its_cap_pauses_alone_and_goes_on_by_its_own_approval() {
        let mut limiter = limited(1_000);
        limiter.set_limit(Limit { tenant_permille: 50, ..limiter.limit() });
        limiter.set_tenant_cap("globex", Some(80));
        assert_eq!(admitted_of(&mut limiter, "acme", 0, 10, 400), 50);
        assert_eq!(admitted_of(&mut limiter, "globex", 0, 10, 400), 80);
        assert_eq!(limiter.pause(), None);
        let pause = limiter.pause_of(Some("acme")).unwrap().clone();
        assert_eq!(
            (pause.since_ms, &*pause.why),
            (500, "50 accounts of the tenant were acted on within an hour, which is its cap")
        );
        assert_eq!(limiter.resume(None, i64::MAX, i64::MAX), None, "nothing holds for all");
        assert_eq!(limiter.resume(Some("acme"), 499, 499), None, "an approval of an earlier pause");
        assert_eq!(limiter.resume(Some("acme"), 500, 500), Some(pause));
        assert_eq!(admitted_of(&mut limiter, "acme", 10_000, 10, 400), 50);
        assert_eq!(admitted_of(&mut limiter, "globex", 10_000, 10, 400), 0, "whose pause nobody ended");
        assert_eq!(recorded(&limiter), limiter);
    }

    #[test]
    fn tenants_of_whom_nothing_counts_any_more_are_forgotten_and_caps_and_pauses_are_not() {
        let mut limiter = limited(1_000);
        limiter.set_tenant_cap("capped", Some(80));
        limiter.set_tenant_cap("paused", Some(1));
        admitted_of(&mut limiter, "paused", 0, 1, 2);
        limiter.set_tenant_cap("paused", None);
        admitted_of(&mut limiter, "quiet", 0, 1, 1);
        assert_eq!(limiter.evict(60 * MINUTE_MS - 1), Vec::<String>::new());
        assert_eq!(limiter.evict(60 * MINUTE_MS), ["quiet"]);
        assert_eq!(limiter.tenants().collect::<Vec<_>>(), ["capped", "paused"]);
    }

    #[test]
    fn of_more_tenants_than_are_counted_the_cap_for_all_holds() {
        let mut limiter = limited(u64::from(u32::MAX).min(ACCOUNTS_TOLD_MAX));
        limiter.set_limit(Limit { tenant_permille: 1, ..limiter.limit() });
        for number in 0..TENANTS_COUNTED_MAX + 10 {
            limiter.count(&format!("t{number}"), 10, 0);
        }
        limiter.count(EVERYBODY, 10, 0);
        assert!(limiter.is_full());
        assert!(limiter.found_of_mut("t0").is_some() && limiter.found_of_mut("another").is_none());
        assert_eq!(limiter.tenants().count(), TENANTS_COUNTED_MAX);
        assert_eq!(limiter.all.at(0).0.accounts, TENANTS_COUNTED_MAX as u64 + 11);
    }

    #[test]
    fn nobodys_accounts_count_for_the_cap_of_all_alone_since_no_word_could_end_a_pause_of_theirs() {
        let mut limiter = limited(100);
        limiter.set_limit(Limit { tenant_permille: 50, ..limiter.limit() });
        for tenant in ["", EVERYBODY] {
            assert!(limiter.found_of_mut(tenant).is_none());
            assert_eq!(admitted_of(&mut limiter, tenant, 0, 30_000, 40), 40);
        }
        assert_eq!((limiter.tenants().count(), limiter.all.at(0).0.accounts), (0, 80));
    }

    #[test]
    fn what_a_build_before_remembered_of_a_tenant_is_taken_over() {
        let mut limiter = Limiter::default();
        limiter.restore_of("acme", b"accounts 7\n9 over the cap\n1 5").unwrap();
        assert_eq!(limiter.tenant_cap("acme"), Some(7));
        assert_eq!(limiter.pause_of(Some("acme")), Some(&Pause { since_ms: 9, why: "over the cap".into() }));
        assert!(limiter.restore_of("acme", b"accounts 7\n\n\n0 0 1 1 2").is_err());
    }

    #[test]
    fn what_another_build_acted_on_for_hours_is_remembered_for_one() {
        let mut limiter = limited(100);
        (0..1_000).for_each(|minute| limiter.count("acme", 10, minute * MINUTE_MS));
        assert_eq!(recorded(&limiter), limiter);
    }

    #[test]
    fn what_a_build_before_remembered_is_taken_over() {
        let mut limiter = Limiter::default();
        limiter.restore(b"floor 7 share 0 accounts 0 partitions 1\n9 over the cap\n1 5").unwrap();
        let pause = Pause { since_ms: 9, why: "over the cap".into() };
        assert_eq!(limiter.pause(), Some(&pause));
        let acted = Acted { accounts: 5, requests: 0 };
        assert_eq!(limiter.all.at(60_000), (acted, acted));
    }

    #[test]
    fn what_is_below_the_cap_never_pauses_however_long_it_goes_on() {
        let mut limiter = limited(100);
        assert_eq!(admitted(&mut limiter, 0, 40_000, 10_000), 10_000);
    }

    #[test]
    fn half_of_the_hours_cap_within_a_minute_is_too_much_at_once() {
        let mut limiter = limited(1_000);
        assert_eq!(admitted(&mut limiter, 0, 10, 2_000), 500);
        assert_eq!(
            limiter.pause().unwrap().why,
            "500 accounts were acted on within a minute, which is half of the hour's cap"
        );
    }

    /// A limiter of two partitions whose accounts may have made a tenth of 100,000 requests, and a tenant's a
    /// tenth of that.
    fn limited_by_traffic() -> Limiter {
        let mut limiter = limited(1_000);
        limiter.set_limit(Limit {
            partitions: 2,
            traffic_permille: 100,
            requests_floor: 1_000,
            requests: 100_000,
            tenant_permille: 100,
            ..limiter.limit()
        });
        limiter
    }

    /// What the limiter says of accounts of tenants, one after the other, that made so many requests.
    fn said(limiter: &mut Limiter, asking: &[(&str, u64)]) -> Vec<Admission> {
        let mut admit = |(n, (tenant, requests)): (usize, &(&str, u64))| {
            limiter.admit(tenant, *requests, n as i64 * MINUTE_MS)
        };
        asking.iter().enumerate().map(&mut admit).collect()
    }

    #[test]
    fn where_more_than_the_cap_of_all_traffic_is_cut_off_it_pauses() {
        let mut limiter = limited_by_traffic();
        // None of a tenant, so that nobody's own cap is reached.
        let said = said(&mut limiter, &[("", 4_999), ("", 9_999), ("", 1)]);
        let why = "2 accounts were acted on within an hour that made 14998 requests in a day, and they may have \
                   made 5000";
        let pause = Pause { since_ms: 2 * MINUTE_MS, why: why.into() };
        assert_eq!(
            said,
            [Admission::Admitted, Admission::Admitted, Admission::PausesNow(None, pause.clone())]
        );
        assert_eq!(recorded(&limiter), limiter);
        assert_eq!(limiter.resume(None, i64::MAX, 3 * MINUTE_MS), Some(pause));
        assert_eq!(limiter.admit("", 4_999, 3 * MINUTE_MS), Admission::Admitted, "the hour begins anew");
    }

    #[test]
    fn an_account_that_makes_more_than_all_may_is_a_persons_to_decide() {
        let mut limiter = limited_by_traffic();
        let why = "an account made 10001 requests in a day, and all that are acted on in an hour may have made 10000";
        let pause = |since_ms| Admission::PausesNow(None, Pause { since_ms, why: why.into() });
        assert_eq!(limiter.admit("acme", 10_001, MINUTE_MS), pause(MINUTE_MS));
        assert!(limiter.resume(None, i64::MAX, 2 * MINUTE_MS).is_some());
        let mut limiter = recorded(&limiter);
        assert_eq!(limiter.admit("acme", 10_001, 61 * MINUTE_MS), Admission::Admitted, "a person let it");
        assert_eq!(limiter.admit("acme", 10_001, 62 * MINUTE_MS), pause(62 * MINUTE_MS), "for an hour");
    }

    #[test]
    fn a_tenant_of_which_more_traffic_is_cut_off_than_its_share_pauses_alone() {
        let mut limiter = limited_by_traffic();
        let said = said(&mut limiter, &[("acme", 499), ("acme", 2), ("acme", 1), ("globex", 1)]);
        let why = "2 accounts of the tenant were acted on within an hour that made 501 requests in a day, which is \
                   its share";
        let pause = Pause { since_ms: 2 * MINUTE_MS, why: why.into() };
        let acme = Admission::PausesNow(Some("acme".into()), pause);
        assert_eq!(said, [Admission::Admitted, Admission::Admitted, acme, Admission::Admitted]);
        assert_eq!(recorded(&limiter), limiter);
    }

    #[test]
    fn traffic_is_not_capped_where_nobody_has_said_how_much_there_is_or_all_of_it_may_be_cut_off() {
        for (requests, traffic_permille) in [(0, 100), (100_000, 1_000)] {
            let mut limiter = limited_by_traffic();
            limiter.set_limit(Limit { requests, traffic_permille, ..limiter.limit() });
            let said = said(&mut limiter, &[("", 50_000), ("acme", 50_000), ("acme", 50_000)]);
            assert!(said.iter().all(|said| *said == Admission::Admitted), "{said:?}");
        }
    }

    #[test]
    fn an_account_counts_for_the_hour_and_not_longer() {
        assert!(!Limiter::still_counts(None, 0));
        assert!(Limiter::still_counts(Some(59_999), 60 * MINUTE_MS - 1));
        assert!(!Limiter::still_counts(Some(59_999), 60 * MINUTE_MS));
    }

    #[test]
    fn the_name_of_a_record_says_whom_it_concerns() {
        for name in [None, Some("acme"), Some("a/b")] {
            let record = record_of(RESUME_NAME, name);
            assert_eq!(whose(RESUME_NAME, &record), Some(Ok(name.map(str::to_owned))), "{record}");
        }
        for name in ["act.limiter", "act.limits/acme", "act.age_max_ms"] {
            assert_eq!(whose(LIMIT_NAME, name), None, "{name}");
        }
        let long = format!("act.limit/{}", "x".repeat(NAME_BYTES_MAX + 1));
        for name in ["act.limit/", "act.limit/*", &long] {
            let refused = "a tenant's name has 1 to 256 bytes and is not *";
            assert_eq!(whose(LIMIT_NAME, name), Some(Err(refused.into())), "{name}");
        }
    }

    #[test]
    fn a_tenants_cap_reads_as_it_is_written_and_anything_else_is_refused() {
        for cap in [None, Some(1), Some(ACCOUNTS_TOLD_MAX)] {
            assert_eq!(tenant_cap_in(&tenant_cap_body(cap)), Ok(cap));
        }
        for body in ["", "40", "accounts 0", "accounts -1", "accounts 1000000001", "none"] {
            let refused = "a tenant's limit must be: accounts 1 to 1000000000, or default";
            assert_eq!(tenant_cap_in(body), Err(refused.into()), "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_is_counted_comes_back_as_it_was(
            floor in 1..1_000u64, since in any::<Option<i64>>(), asking in 0..400i64, every_ms in 1..200_000i64,
        ) {
            let mut limiter = limited(floor);
            admitted(&mut limiter, 5_000, every_ms, asking);
            if let Some(since_ms) = since {
                limiter.pauses(None, Pause { since_ms, why: "a storm of 5".into() });
                limiter.pauses(Some("globex"), Pause { since_ms, why: "too many".into() });
            }
            prop_assert_eq!(recorded(&limiter), limiter);
        }

        #[test]
        fn damaged_counts_never_panic(text in "[0-9a-z \n-]{0,80}") {
            let _ = Limiter::default().restore(text.as_bytes());
            let _ = Limiter::default().restore_of("acme", text.as_bytes());
        }
    }
}
