//! Is told of tripwires that requests met, and has an alert sent of them: of an account once in a while, and
//! of all no more than those who listen hear of one sender. What is not sent is in the event all the same.

use super::limits::{TRIPWIRE_ACCOUNTS_MAX, TRIPWIRE_EVERY_MS};
use super::outlet::{About, Outlet, be_of_now};
use crate::context::{Context, now_ms};
use crate::telemetry::{Metrics, Unsent};
use anyhow::{Result, bail};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use weir_collector::{Alarm, Tripped};
use weir_fastpath::bucket::Bucket;
use weir_fastpath::{Role, Tripwire, Word};
use weir_schemas::AccountId;

/// Is told of tripwires, and has alerts sent.
pub struct Bell {
    outlet: Arc<Outlet>,
    metrics: Arc<Metrics>,
    told: Mutex<Told>,
}

/// What was sent of late. Two tables of accounts, of which the older is thrown away when the younger is full.
struct Told {
    young: HashMap<AccountId, i64>,
    old: HashMap<AccountId, i64>,
    bucket: Bucket,
}

/// Who is told of tripwires, where `fastpath.tripwires` says that anybody is.
///
/// # Errors
/// When the settings say half of it, or the keys cannot be used.
pub fn start(context: &Context) -> Result<Option<Arc<dyn Alarm>>> {
    if !context.settings.fastpath_tripwires {
        return Ok(None);
    }
    if context.settings.indicators_dir.is_none() {
        bail!(
            "fastpath.tripwires is on, and indicators_dir is not set: there is nothing to meet (`weir indicators plant` \
             and `weir indicators import` write it)"
        );
    }
    let Some(outlet) = context.outlet()? else {
        bail!(
            "fastpath.tripwires is on, and fastpath.send_to is not set: give HOST:PORT of the decision servers"
        );
    };
    outlet.expect_key(Role::Collector);
    Ok(Some(Arc::new(Bell::new(outlet, context.metrics.clone(), now_ms()))))
}

impl Bell {
    fn new(outlet: Arc<Outlet>, metrics: Arc<Metrics>, now_ms: i64) -> Self {
        let told = Told { young: HashMap::new(), old: HashMap::new(), bucket: Bucket::of_sender(now_ms) };
        Self { outlet, metrics, told: Mutex::new(told) }
    }

    fn send(&self, tripped: Tripped, now_ms: i64) -> Result<(), Unsent> {
        // A backlog that is caught up with takes nothing from what is met now.
        be_of_now(tripped.event_ms, now_ms)?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let account = tripped.account;
        let before_ms = told.young.get(&account).or_else(|| told.old.get(&account));
        if before_ms.is_some_and(|before_ms| now_ms.abs_diff(*before_ms) < TRIPWIRE_EVERY_MS as u64) {
            return Err(Unsent::TooSoon);
        }
        if !told.bucket.takes_of_sender(now_ms) {
            return Err(Unsent::TooMany);
        }
        let word = Word::Tripwire(if tripped.is_canary { Tripwire::Canary } else { Tripwire::Indicator });
        let Tripped { event, event_ms, account, tenant, .. } = tripped;
        self.outlet.send(About { account, tenant, event, event_ms }, word)?;
        if told.young.len() >= TRIPWIRE_ACCOUNTS_MAX {
            told.old = std::mem::take(&mut told.young);
        }
        told.young.insert(account, now_ms);
        Ok(())
    }
}

impl Alarm for Bell {
    fn tripped(&self, tripped: Tripped) {
        if let Err(why) = self.send(tripped, now_ms()) {
            self.metrics.alert_unsent(why);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test may fail loudly.
mod tests {
    use super::*;
    use std::sync::mpsc::Receiver;
    use weir_fastpath::Alert;
    use weir_fastpath::limits::{EVENT_AGE_MS_MAX, SENDER_BURST};
    use weir_schemas::EventId;

    fn bell(now_ms: i64) -> (Bell, Receiver<Alert>) {
        let (outlet, alerts) = Outlet::of_test();
        (Bell::new(outlet, Arc::new(Metrics::default()), now_ms), alerts)
    }

    fn tripped(number: u32, event_ms: i64) -> Tripped {
        Tripped {
            event: EventId([7; 16]),
            event_ms,
            account: AccountId(u128::from(number).to_be_bytes()),
            tenant: "acme".into(),
            is_canary: number == 1,
        }
    }

    #[test]
    fn an_alert_says_of_whose_request_it_is_and_what_it_met() {
        let now_ms = now_ms();
        let (bell, alerts) = bell(now_ms);
        (1..=2).for_each(|number| bell.send(tripped(number, now_ms), now_ms).unwrap());
        let sent: Vec<Alert> = alerts.try_iter().collect();
        let words: Vec<&Word> = sent.iter().map(|alert| &alert.word).collect();
        assert_eq!(words, [&Word::Tripwire(Tripwire::Canary), &Word::Tripwire(Tripwire::Indicator)]);
        let first = &sent[0];
        assert_eq!((first.account, first.event), (tripped(1, 0).account, EventId([7; 16])));
        assert_eq!((first.tenant.as_str(), first.event_ms), ("acme", now_ms));
    }

    #[test]
    fn an_account_is_told_of_once_in_a_while_however_many_of_its_requests_meet_one() {
        let start_ms = now_ms();
        let (bell, alerts) = bell(start_ms);
        let say = |number, after_ms| bell.send(tripped(number, start_ms), start_ms + after_ms);
        assert_eq!(say(1, 0), Ok(()));
        assert_eq!(say(1, TRIPWIRE_EVERY_MS - 1), Err(Unsent::TooSoon));
        assert_eq!(say(2, 1), Ok(()), "another account");
        assert_eq!(say(1, TRIPWIRE_EVERY_MS), Ok(()));
        assert_eq!(alerts.try_iter().count(), 3);
    }

    #[test]
    fn no_more_is_sent_than_is_heard_of_one_sender_and_what_is_not_is_none_that_was_told() {
        let now_ms = now_ms();
        let (bell, alerts) = bell(now_ms);
        let say = |number, at_ms| bell.send(tripped(number, now_ms), at_ms);
        (1..=SENDER_BURST).for_each(|number| say(number, now_ms).unwrap());
        assert_eq!(say(SENDER_BURST + 1, now_ms), Err(Unsent::TooMany));
        assert_eq!(say(SENDER_BURST + 1, now_ms + 1_000), Ok(()));
        assert_eq!(alerts.try_iter().count(), SENDER_BURST as usize + 1);
    }

    #[test]
    fn of_an_event_of_long_ago_nothing_is_sent() {
        let now_ms = now_ms();
        let (bell, _alerts) = bell(now_ms);
        for number in 1..=2 * SENDER_BURST {
            let late = tripped(number, now_ms - EVENT_AGE_MS_MAX - 60_000);
            assert_eq!(bell.send(late, now_ms), Err(Unsent::Late));
        }
        assert_eq!(bell.send(tripped(1, now_ms), now_ms), Ok(()), "that was no word");
    }

    #[test]
    fn what_is_remembered_of_accounts_does_not_grow_without_end() {
        let now_ms = now_ms();
        let (bell, alerts) = bell(now_ms);
        let count = 2 * TRIPWIRE_ACCOUNTS_MAX as u32 + 5;
        for number in 1..=count {
            // A fiftieth of a second apart, as fast as one may be told after the other.
            let at_ms = now_ms + 20 * i64::from(number);
            bell.send(tripped(number, at_ms), at_ms).unwrap();
            alerts.try_iter().for_each(drop);
        }
        let told = bell.told.lock().unwrap();
        assert!(told.young.len() <= TRIPWIRE_ACCOUNTS_MAX && told.old.len() <= TRIPWIRE_ACCOUNTS_MAX);
        assert_eq!(told.young.len() + told.old.len(), TRIPWIRE_ACCOUNTS_MAX + 5);
    }
}
