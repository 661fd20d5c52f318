//! Builders for tests: traffic of one account, and what one detector makes of it.

use crate::detector::{Detector, Notes, Seen};
use crate::policy::Policy;
use crate::profile::Profile;
use expect_test::Expect;
use weir_schemas::{Body, Card, Cluster, Event, LinkKind, PromptFeatures, Request, ValueHash};

/// When every fixture starts: a Tuesday.
pub const START_MS: i64 = 1_767_700_000_000;

/// A hash that stands for a text.
pub fn hash(text: &str) -> ValueHash {
    use sha2::{Digest, Sha256};
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut hash = ValueHash::default();
    hash.0.copy_from_slice(&digest[..16]);
    hash
}

/// Features of a prompt whose template also is its opening.
pub fn prompt(template: &str, text: &str, phrases: i64) -> PromptFeatures<'static> {
    PromptFeatures {
        text_hash: hash(text),
        template_hash: hash(template),
        head_hash: hash(template),
        phrases,
        ..Default::default()
    }
}

/// What the cluster stage says of a value: all others are like the account, where one in about 285 would be.
pub fn cluster(kind: LinkKind, value: &str, members: i32) -> Cluster {
    Cluster {
        time_ms: START_MS,
        kind,
        value: hash(value),
        members: members.into(),
        compared: members - 1,
        alike_milli: (members - 1) * 1_000,
        chance_millinats: -5_650,
        share_permille: 1_000,
        ..Default::default()
    }
}

/// The card of a machine that asks about every minute and a half.
pub fn card() -> Card {
    Card {
        requests: 400,
        age_ms: 10 * 3_600_000,
        pause_millinats: 11_400,
        pause_spread: 1_280,
        length_millinats: 5_600,
        length_spread: 400,
        novelty_permille: 950,
        busy_permille: 1_000,
        limit: 4_096,
        ..Default::default()
    }
}

/// What one account does.
pub struct Traffic {
    requests: Vec<(i64, Request<'static>)>,
    clusters: Vec<Cluster>,
}

impl Traffic {
    /// Requests at even distances.
    pub fn every_ms(pause_ms: i64, count: usize, shape: impl Fn(&mut Request<'static>, usize)) -> Self {
        Self::uneven_ms(&[pause_ms], count, shape)
    }

    /// Requests whose distances go round a list.
    pub fn uneven_ms(pauses: &[i64], count: usize, shape: impl Fn(&mut Request<'static>, usize)) -> Self {
        let mut time_ms = START_MS;
        let requests = (0..count).map(|index| {
            let mut request = Request::default();
            shape(&mut request, index);
            let at_ms = time_ms;
            time_ms += pauses[index % pauses.len()];
            (at_ms, request)
        });
        Self { requests: requests.collect(), clusters: Vec::new() }
    }

    /// The same, and then words of the cluster stage.
    pub fn told(mut self, clusters: Vec<Cluster>) -> Self {
        self.clusters = clusters;
        self
    }
}

/// Shows the traffic to a detector under the builtin policy and compares its opinion.
pub fn check<D: Detector>(traffic: Traffic, expected: Expect)
where
    Policy: HasSettings<D>,
{
    let policy = Policy::builtin();
    let settings = policy.settings();
    let mut profile = Profile::new(traffic.requests[0].0);
    let mut state = D::State::default();
    for (time_ms, request) in &traffic.requests {
        profile.observe(*time_ms, 1, Seen::Request(request));
        D::observe(&mut state, Seen::Request(request), profile.clock_ms, settings);
    }
    for cluster in &traffic.clusters {
        profile.observe(cluster.time_ms, 1, Seen::Cluster(cluster));
        D::observe(&mut state, Seen::Cluster(cluster), profile.clock_ms, settings);
    }
    let mut notes = Notes::open();
    let mut text = match D::judge(&state, &profile.view(), settings, &mut notes) {
        None => "missing".to_owned(),
        Some(said) => format!("{:.1} nats", f64::from(said) / 1e3),
    };
    for item in notes.into_items() {
        text += &format!("; {} {}", item.name, item.value);
    }
    expected.assert_eq(&text);
}

/// Where the policy keeps a detector's settings.
pub trait HasSettings<D: Detector> {
    /// Its table.
    fn settings(&self) -> &D::Settings;
}

macro_rules! has_settings {
    ($($name:ident: $detector:ident),+) => {$(
        impl HasSettings<crate::detectors::$detector> for Policy {
            fn settings(&self) -> &crate::detectors::$name::Settings {
                self.fleet().detectors.$name.as_ref().expect("the builtin policy names every detector")
            }
        }
    )+};
}
has_settings!(
    rhythm: Rhythm, harvest: Harvest, elicitation: Elicitation, whale: Whale, probing: Probing,
    contradiction: Contradiction, kin: Kin, bond: Bond, network: Network, script: Script, owner: Owner,
    theme: Theme, opening: Opening, proxies: Proxies, payer: Payer, indicator: Indicator,
    disguise: Disguise
);

/// An event that is a request.
pub fn event<'a>(account: &str, time_ms: i64, request: Request<'a>) -> Event<'a> {
    let id = hash(&format!("{account} {time_ms}"));
    Event {
        event_id: weir_schemas::EventId(id.0),
        time_ms,
        observed_ms: time_ms,
        tenant: "acme",
        account: weir_schemas::AccountId(hash(account).0),
        sample_weight: 1,
        sampling: 1,
        body: Body::Request(request),
        ..Default::default()
    }
}
