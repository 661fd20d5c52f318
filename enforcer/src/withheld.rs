//! Brokers that answer and give nothing: whoever follows a topic says so after half a minute, and its loop
//! goes round.

use crate::act::executor::Executor;
use crate::answer::standings::{Follower, Standings};
use crate::export::identities::Identities;
use crate::subject::{ListName, ON, Subject};
use crate::testing::*;
use std::sync::Arc;
use std::time::Duration;
use weir_schemas::{ControlKind, Standing};
use weir_topology::clock::MachineClock;
use weir_topology::log::{Log, LogError};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

fn withheld(rig: &Rig, topic: Topic) -> Arc<dyn Log> {
    Arc::new(Withheld { log: rig.log.clone(), topic })
}

fn executor(rig: &Rig, topic: Topic) -> Result<(), LogError> {
    let clock = Arc::new(MachineClock::default());
    let log = withheld(rig, topic);
    let mut executor = Executor::open(0, log, rig.wire.clone(), opener(), Vec::new(), clock)?;
    executor.run_once(Duration::ZERO).map(drop)
}

#[test]
fn whoever_follows_what_brokers_keep_back_says_so_after_half_a_minute() {
    let rig = Rig::new(1);
    let list = ListName::Protected.record_of(&Subject::Tenant("acme".into()));
    rig.put_control(&control(ControlKind::Setting, &list, ON));
    let keyed = |topic, payload| Output::keyed(topic, account(1).to_key(), payload, 0);
    let standing = Standing { account: account(1), ..Standing::default() };
    rig.put(vec![
        keyed(Topic::Standing, rig.wire.to_bytes(&standing)),
        keyed(Topic::Identities, rig.wire.to_bytes(&identity(1))),
        keyed(Topic::Actions, b"an action".to_vec()),
    ]);
    let standings = || {
        let log = withheld(&rig, Topic::Standing);
        Follower::new(log, rig.wire.clone(), None, Arc::new(Standings::default())).run_once(1)
    };
    let identities = || {
        let log = withheld(&rig, Topic::Identities);
        Identities::new(log, rig.wire.clone(), opener(), vec![0]).open(account(1)).map(drop)
    };
    // Side by side, because each takes its time.
    let outcomes = std::thread::scope(|scope| {
        let running = [
            (Topic::Standing, scope.spawn(standings)),
            (Topic::Identities, scope.spawn(identities)),
            (Topic::Control, scope.spawn(|| executor(&rig, Topic::Control))),
            (Topic::Actions, scope.spawn(|| executor(&rig, Topic::Actions))),
        ];
        running.map(|(topic, thread)| (topic, thread.join().unwrap()))
    });
    for (topic, outcome) in outcomes {
        let told = outcome.unwrap_err().to_string();
        assert_eq!(told, format!("the log cannot be used: {topic}/0 gave nothing for 30 s"));
    }
}
