//! What Weir tells about itself, as metrics and log lines: one function an event.

mod labels;
pub mod list;

use crate::health::Readiness;
use crate::settings::HoldMode;
use labels::{
    ActionLabels, BuildLabels, CauseLabels, Closed, DestinationCause, DestinationLabel, DetectorLabel,
    FieldLabel, GatewayLabels, InvariantLabels, Kind, PlacementLabels, ProbeLabel, ProcessCause, ProcessWay,
    RequestLabels, StageLabel, StartLabels, TaskLabels, TrapLabel,
};
use list::{Declared, Series};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use tracing::{debug, error, info, warn};
use weir_collector::field::Field;
use weir_collector::push::body::Content;
use weir_collector::spool::DamageKind;
use weir_collector::trace::{Loss, Window};
use weir_enforcer::act::executor::{Progress as Acted, Stuck};
use weir_enforcer::answer::decision::Passes;
use weir_enforcer::answer::holds::{LetGo, Spared};
use weir_enforcer::siem::destination::{DestinationKind, RetryCause};
use weir_enforcer::siem::exporter::{DropCause, Progress as Exported};
use weir_fastpath::{Cause, Word};
use weir_schemas::{ActionKind, ActionState, DlqKind, IndicatorKind, Tier};
use weir_tap::{Counts, Placement, Site, Trap, TrapCosts};
use weir_topology::invariants::Invariant;
use weir_topology::stage::{Level, Tally};
use weir_topology::telemetry::{LossCause, SourceChange, Start, Telemetry};
use weir_topology::topic::{StageName, TaskId};

/// Every status that the listener answers with, and its name.
const STATUSES: [(u16, &str); 10] = [
    (200, "200"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (413, "413"),
    (415, "415"),
    (503, "503"),
];

fn request_labels(content: Option<Content>, status: u16) -> RequestLabels {
    let status = STATUSES.iter().find(|(number, _)| *number == status).map_or("other", |(_, name)| name);
    let content = content.map_or("other", |content| match content {
        Content::Lines => "lines",
        Content::Logs => "logs",
        Content::Traces => "traces",
    });
    RequestLabels { content: Closed(content), status: Closed(status) }
}

/// How a gateway asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By HTTP, as nginx does.
    Http,
    /// By Envoy's external authorization.
    ExtAuthz,
    /// By Envoy's external processing.
    ExtProc,
    /// By Envoy's rate-limit service.
    RateLimit,
    /// By Weir's own gRPC service.
    Grpc,
    /// By length-prefixed JSON.
    Frames,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Http, Self::ExtAuthz, Self::ExtProc, Self::RateLimit, Self::Grpc, Self::Frames];

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::ExtAuthz => "ext_authz",
            Self::ExtProc => "ext_proc",
            Self::RateLimit => "rate_limit",
            Self::Grpc => "grpc",
            Self::Frames => "frames",
        }
    }
}

/// Why a gateway's request is of nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It had more keys than anybody has, or several tenants.
    Unclear,
    /// It named a tenant that is not registered.
    UnknownTenant,
    /// It named none, where it has to.
    NoTenant,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unclear, Self::UnknownTenant, Self::NoTenant];

    /// Name in answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unclear => "refused",
            Self::UnknownTenant => "unknown_tenant",
            Self::NoTenant => "no_tenant",
        }
    }
}

/// Why an alert is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// Its verdict is history.
    History,
    /// Its verdict slows nobody down: something was missing to judge by, or it clears the account.
    AsksForNothing,
    /// Its event was too long ago.
    Late,
    /// One of the same account was sent a moment ago.
    TooSoon,
    /// More tripwires are met than are heard of one sender.
    TooMany,
    /// Too many wait.
    QueueFull,
    /// The thread that sends has ended.
    Stopped,
    /// No key is good for this node.
    NoKey,
    /// Its names are too long.
    TooLarge,
    /// It cannot be written.
    Unwritable,
    /// No destination is known.
    Nowhere,
    /// The network refused it.
    Failed,
}

impl Unsent {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::History,
        Self::AsksForNothing,
        Self::Late,
        Self::TooSoon,
        Self::TooMany,
        Self::QueueFull,
        Self::Stopped,
        Self::NoKey,
        Self::TooLarge,
        Self::Unwritable,
        Self::Nowhere,
        Self::Failed,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::AsksForNothing => "asks_for_nothing",
            Self::Late => "late",
            Self::TooSoon => "too_soon",
            Self::TooMany => "too_many",
            Self::QueueFull => "queue_full",
            Self::Stopped => "stopped",
            Self::NoKey => "no_key",
            Self::TooLarge => "too_large",
            Self::Unwritable => "unwritable",
            Self::Nowhere => "nowhere",
            Self::Failed => "failed",
        }
    }
}

/// Why the account of an alert that is believed is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheld {
    /// Nobody is (`fastpath.holds`).
    Off,
    /// Its score is below `fastpath.score_min_permille`.
    BelowScore,
    /// Its tenant is not registered.
    UnknownTenant,
    /// It could not be written down.
    Unwritten,
    /// It may not be.
    Spared(Spared),
}

impl Unheld {
    /// Name in metrics and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::BelowScore => "below_score",
            Self::UnknownTenant => "unknown_tenant",
            Self::Unwritten => "unwritten",
            Self::Spared(spared) => spared.as_str(),
        }
    }
}

/// What is counted of an account that is held, or would be.
fn held_as(mode: HoldMode) -> &'static str {
    if mode == HoldMode::Hold { "held" } else { "observed" }
}

/// What is counted of one from a gateway that shows no token.
const UNAUTHENTICATED: &str = "unauthenticated";

fn asked_by(transport: Transport, kind: &'static str) -> GatewayLabels {
    GatewayLabels { kind: Closed(kind), transport: Closed(transport.as_str()) }
}

/// What executors do, in the order in which it is counted.
const EFFECTS: [&str; 4] = ["applied", "released", "failed", "stuck"];

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
}

/// Bounds of the time to a verdict, in seconds.
const VERDICT_SECONDS: [f64; 12] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0];

/// Bounds of the time from a datagram to a hold, in seconds.
const HOLD_SECONDS: [f64; 11] =
    [0.000_025, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0];

/// Age from which an event is history, in milliseconds.
const HISTORY_MS: i64 = 24 * 3_600_000;

macro_rules! metrics {
    ($($field:ident: $type:ty = $new:expr, $name:literal, $help:literal;)+) => {
        /// The metrics of a process.
        pub struct Metrics {
            registry: Mutex<Registry>,
            $($field: $type,)+
        }

        /// Every metric there is.
        pub const DECLARED: &[Declared] = &[$(Declared {
            name: $name,
            kind: <$type as Series>::TYPE,
            labels: <$type as Series>::LABELS,
            help: $help,
        }),+];

        impl Metrics {
            /// Metrics that all exist from the start.
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("weir");
                $(let $field: $type = $new;
                registry.register($name, $help, $field.clone());)+
                let metrics = Self { registry: Mutex::new(registry), $($field,)+ };
                metrics.touch();
                metrics
            }
        }
    };
}

metrics! {
    build: Family<BuildLabels, Gauge> = Family::default(), "build_info", "1, labelled with the version of this build and of its judge";
    readiness: Family<Kind, Gauge> = Family::default(), "readiness", "1 for the one that holds, as /health/ready says it: ready, not_running, no_partitions, log_silent";
    lag: Family<StageLabel, Gauge> = Family::default(), "lag_records", "Records that the tasks of this process have not folded yet";
    verdict_seconds: Histogram = Histogram::new(VERDICT_SECONDS), "event_to_verdict_seconds", "From the time of an event to its verdict's commit; events older than a day are history and are not counted";
    effect_seconds: Histogram = Histogram::new(VERDICT_SECONDS), "decision_to_effect_seconds", "From the enforcer's decision to its effect, as whoever carried it out says; that people are to look at somebody is no effect";
    epochs: Family<StageLabel, Counter> = Family::default(), "epochs", "Epochs committed";
    judged: Family<StageLabel, Counter> = Family::default(), "records_judged", "Input records folded into state";
    dead_lettered: Family<StageLabel, Counter> = Family::default(), "records_dead_lettered", "Input records sent to the dead-letter topic";
    outputs: Family<StageLabel, Counter> = Family::default(), "records_written", "Records that stages wrote";
    epoch_seconds: Family<StageLabel, Histogram> = Family::new_with_constructor(seconds), "epoch_seconds", "Time to fold and commit an epoch";
    aborts: Family<StageLabel, Counter> = Family::default(), "commits_aborted", "Commits that were aborted and tried again";
    reopened: Family<StageLabel, Counter> = Family::default(), "tasks_reopened", "Tasks that started over from the log";
    adopted: Family<StageLabel, Counter> = Family::default(), "epochs_adopted", "Epochs that another judge had recorded when a task took over: another build, or another policy";
    invariants: Family<InvariantLabels, Counter> = Family::default(), "invariants_broken", "Epochs that were not committed because they broke an invariant";
    restore_seconds: Family<StartLabels, Histogram> = Family::new_with_constructor(seconds), "restore_seconds", "Time until a task could go on, with a standby's state (warm) or with all of it from the log (cold)";
    standby_behind: Family<TaskLabels, Gauge> = Family::default(), "standby_behind_records", "Offsets of its state topic that a standby has not taken in yet: 0 is warm";
    standby_entries: Family<TaskLabels, Gauge> = Family::default(), "standby_entries", "Entries in a standby's state";
    standby_dropped: Family<StageLabel, Counter> = Family::default(), "standbys_dropped", "Standbys that could not go on and were begun anew";
    snapshots: Family<StageLabel, Counter> = Family::default(), "snapshot_entries", "State entries written by snapshots";
    checkpoints: Family<StageLabel, Counter> = Family::default(), "checkpoints", "Checkpoints that tasks completed";
    entries: Family<TaskLabels, Gauge> = Family::default(), "state_entries", "Entries in a task's state";
    kill_switch: Family<TaskLabels, Gauge> = Family::default(), "kill_switch_state", "1 while the kill switch is on or the glass is broken for an enforcer, 0 while it is not";
    reviews_waiting: Family<TaskLabels, Gauge> = Family::default(), "reviews_waiting", "Accounts of an enforcer that wait for an analyst";
    reviews_overdue: Family<TaskLabels, Gauge> = Family::default(), "reviews_overdue", "Accounts of an enforcer that wait for an analyst and whose time has passed";
    tallies: Family<CauseLabels, Counter> = Family::default(), "stage_events", "What stages counted besides their outputs";
    detector_faults: Family<DetectorLabel, Counter> = Family::default(), "detector_faults", "Events on which a detector failed: their verdicts are partial";
    detector_forgot: Family<DetectorLabel, Counter> = Family::default(), "detector_forgot", "Accounts that a detector judges anew, because its state was of a version that this build does not know";
    verdicts: Family<Kind, Counter> = Family::default(), "verdicts", "Verdicts by tier";
    bytes_read: Counter = Counter::default(), "collector_bytes_read", "Bytes that collectors read";
    events: Counter = Counter::default(), "collector_events_published", "Events that collectors published";
    mended: Counter = Counter::default(), "collector_lines_mended", "Events of lines with bytes that are not UTF-8, read as U+FFFD";
    announced: Counter = Counter::default(), "collector_identities_announced", "Sealed identities that were announced";
    announced_forgotten: Counter = Counter::default(), "collector_identities_forgotten", "Announced accounts that were forgotten to stay within the limit, and are announced again";
    rejected: Family<Kind, Counter> = Family::default(), "collector_lines_rejected", "Lines that collectors refused, by cause";
    requests: Family<RequestLabels, Counter> = Family::default(), "listener_requests", "Requests to the listener, by what they bring and the status of the answer";
    handshakes_failed: Counter = Counter::default(), "listener_handshakes_failed", "Connections to the listener that ended before TLS stood: no certificate of a client's, or one that nobody here knows";
    pushed_known: Family<Kind, Counter> = Family::default(), "collector_pushed_known", "Requests and records that were pushed again, and are no events a second time";
    records_other: Counter = Counter::default(), "collector_records_other", "Records that tell of no request to a model, such as spans of other calls: they are passed over";
    unknown: Family<FieldLabel, Counter> = Family::default(), "collector_fields_unknown", "Requests with a field that was of no use: malformed, out of range, or of another type";
    unowned: Counter = Counter::default(), "collector_requests_unowned", "Requests that are nobody's, because the key that was sent with them was refused";
    source_changes: Family<Kind, Counter> = Family::default(), "collector_source_changes", "Files of sources that appeared, were rotated, truncated or replaced";
    trace_losses: Family<Kind, Counter> = Family::default(), "collector_trace_losses", "What traced processes said and Weir did not hear, or could not use, by cause: bytes, messages, requests or connections";
    trace_messages: Family<Kind, Counter> = Family::default(), "collector_trace_messages", "Messages that traced processes read or wrote through TLS: heard by the kernel side, and handed on by it";
    sampling: Gauge = Gauge::default(), "collector_sampling", "One of so many accounts is kept of those of traced processes: 1 is all; more where `cpu_budget` asks for it";
    spool_waiting_bytes: Gauge = Gauge::default(), "collector_spool_waiting_bytes", "Bytes of events of traced processes that lie in the spool and are not known to be in the log";
    spool_bytes: Gauge = Gauge::default(), "collector_spool_bytes", "Bytes that the spool takes on the disk";
    spool_bytes_max: Gauge = Gauge::default(), "collector_spool_bytes_max", "Most bytes that it may take (`spool.bytes_max`); 0 where there is none";
    spool_replayed: Counter = Counter::default(), "collector_spool_replayed_events", "Events that an earlier process had left in the spool and that are in the log now";
    spool_passed_over: Counter = Counter::default(), "collector_spool_passed_over", "Times that the spool began to take nothing, because it was full or its disk failed: what is heard then waits in memory";
    spool_unsure: Counter = Counter::default(), "collector_spool_faults", "Times that the disk did not do what the spool asked besides taking a batch";
    spool_damaged: Family<Kind, Counter> = Family::default(), "collector_spool_damaged_bytes", "Bytes of the spool's files that cannot be used and whose events are lost, by what they are; the log names file and byte";
    process_messages: Family<ProcessWay, Counter> = Family::default(), "collector_process_messages", "Messages that a traced process received or sent through TLS, whether or not they were handed on";
    process_bytes: Family<ProcessWay, Counter> = Family::default(), "collector_process_bytes", "Bytes of those messages";
    process_drops: Family<ProcessCause, Counter> = Family::default(), "collector_process_drops", "What the kernel side could not hand on of a traced process, by cause: its part of those losses whose cause begins with `tap_`";
    probe_runs: Family<ProbeLabel, Counter> = Family::default(), "collector_probe_runs", "Times that a program of the kernel side ran, for whichever process, while the kernel measured it (`tap.measure_probes`)";
    probe_run_ns: Family<ProbeLabel, Counter> = Family::default(), "collector_probe_run_ns", "How long that took";
    probes: Family<PlacementLabels, Gauge> = Family::default(), "collector_probes", "Probes that are attached to traced processes, by program and by where they were placed: at an instruction that the kernel emulates (emulated), where a read hands its arguments on (callee), or at an entry that is executed apart, which costs two traps (entry)";
    probe_trap_ns: Family<TrapLabel, Gauge> = Family::default(), "collector_probe_trap_ns", "What a probe costs a call of the traced process, as measured when tracing began, by how it is placed: at an instruction that the kernel emulates (emulated), at one that is executed apart (apart), and what its return costs besides (return); 0 where it was not measured";
    cpu_ms: Counter = Counter::default(), "cpu_ms", "Time of processors that this process used";
    losses: Family<Kind, Counter> = Family::default(), "collector_losses", "Times that lines of a source may have been lost, by cause; the log names file and bytes";
    known: Counter = Counter::default(), "collector_lines_known", "Lines that were read under another name before, and were not read again";
    bytes_lost: Counter = Counter::default(), "collector_bytes_lost", "Bytes of sources that were lost, where their number is known";
    indicators: Gauge = Gauge::default(), "collector_indicators", "Indicators of others that requests are compared with";
    indicators_unreadable: Gauge = Gauge::default(), "collector_indicators_unreadable", "1 while the file of indicators cannot be read and those of before go on being compared";
    indicators_met: Family<Kind, Counter> = Family::default(), "collector_indicators_met", "Indicators that requests met, by what they met them by";
    source_unavailable: Counter = Counter::default(), "collector_source_unavailable", "Times that a source could not be read";
    actions: Family<ActionLabels, Counter> = Family::default(), "actions", "Actions by kind and what became of them";
    output_stalls: Counter = Counter::default(), "enforcer_output_stalled", "Times that the enforcer's files could not be written";
    output_unreadable: Counter = Counter::default(), "enforcer_records_unreadable", "Records that the enforcer's files passed over: unreadable, or an action that names no audit record";
    output_unopened: Counter = Counter::default(), "enforcer_accounts_unopened", "Actions to be carried out whose raw account id could not be had";
    indicators_forgotten: Counter = Counter::default(), "enforcer_indicators_forgotten", "Shared values that were forgotten to stay within the limit";
    identities_refused: Counter = Counter::default(), "enforcer_identities_refused", "Sealed identities that did not open, or are not of the account that they were announced for";
    identities_forgotten: Counter = Counter::default(), "enforcer_identities_forgotten", "Sealed identities that were forgotten to stay within the limit";
    renewals_failed: Counter = Counter::default(), "enforcer_renewals_failed", "Times that a partition's identities could not be renewed: tried again after ten minutes";
    identities_renewed: Counter = Counter::default(), "enforcer_identities_renewed", "Sealed identities written once more, because something is in force on their accounts and their retention would pass";
    effects: Family<Kind, Counter> = Family::default(), "effects", "What executors did: applied, released, failed (answered for as not carried out), stuck (an actuator refuses to let a hold go: a person must)";
    effect_stalls: Counter = Counter::default(), "effect_stalls", "Times that an executor had to wait for what it drives, or for the log";
    shared_bucket_failures: Counter = Counter::default(), "shared_bucket_failures", "Times that Redis did not answer a server of gateways, or too many requests waited for it, so that the server counted for itself";
    tenants_registered: Gauge = Gauge::default(), "tenants_registered", "Tenants of the registry in force; 0 where there is none";
    tenants_changes: Counter = Counter::default(), "tenants_changes_taken", "Changes of the tenants' registry that were taken while the process runs";
    tenants_refused: Gauge = Gauge::default(), "tenants_refused", "1 while what lies in `tenants.dir` cannot be used and the registry before it stays in force; the log says why";
    gateway_answers: Family<GatewayLabels, Counter> = Family::default(), "gateway_answers", "Answers to gateways, by whether the request may pass (passed, limited, suspended, unknown; refused: it had more keys than anybody has, or several tenants; unknown_tenant, no_tenant: the registry does not have the tenant that it named, or it named none; unauthenticated: the gateway showed no token) and by how it was asked";
    gateway_handshakes_failed: Counter = Counter::default(), "gateway_handshakes_failed", "Connections to the decision server that ended before TLS stood: no certificate of a gateway's, or one that nobody here knows";
    standings: Gauge = Gauge::default(), "standings", "Accounts of which a server of gateways knows how they stand";
    standings_stale: Gauge = Gauge::default(), "standings_stale_ms", "How long ago what a server of gateways knows was as the log was, in milliseconds; -1 where it never was";
    standings_untold: Counter = Counter::default(), "standings_untold", "Accounts that a server of gateways has no room for";
    standings_unreadable: Counter = Counter::default(), "standings_unreadable", "Records of how accounts stand that could not be read";
    alerts_unsent: Family<Kind, Counter> = Family::default(), "fastpath_alerts_unsent", "Alerts, or copies of them for one address, that were not sent, by cause: the verdict is history (history), enforcers slow nobody down on it (asks_for_nothing), its event was too long ago (late), a tripwire of the same account was told of a moment ago (too_soon), more tripwires are met than are heard of one sender (too_many), too many wait (queue_full), no key is good for this node (no_key), names are too long (too_large), the alert cannot be written (unwritable), no destination is known (nowhere), the network refused it (failed), the thread that sends has ended (stopped)";
    alerts_sent: Counter = Counter::default(), "fastpath_alerts_sent", "Alerts that were sent, of verdicts before their commit and of tripwires beside their events; each goes out three times to every destination";
    tripwires_sent: Counter = Counter::default(), "fastpath_tripwires_sent", "Alerts of tripwires among those that were sent";
    alerts_believed: Counter = Counter::default(), "fastpath_alerts_believed", "Alerts that were heard, proved to be of a sender, and news";
    datagrams_refused: Family<Kind, Counter> = Family::default(), "fastpath_datagrams_refused", "Datagrams that were not believed or no news, by the first cause: duplicate is the copy of an alert that was believed, as it should be; replay one that somebody recorded";
    alert_behind: Gauge = Gauge::default(), "fastpath_alert_behind_ms", "How long after it was sent the last alert that was believed came, by the clocks of both, in milliseconds: negative where the sender's is ahead";
    holds: Family<Kind, Counter> = Family::default(), "fastpath_holds", "Alerts of verdicts that were believed, by what came of them: held, observed, or why their accounts were not held; reinstated is one of before an operator gave its account access back";
    tripwire_holds: Family<Kind, Counter> = Family::default(), "fastpath_tripwire_holds", "Alerts of tripwires that were believed, by what came of them: held, observed, or why their accounts were not held; rests is one that was held on a tripwire within a day";
    holds_let_go: Family<Kind, Counter> = Family::default(), "fastpath_holds_let_go", "Holds that ended, by cause: confirmed (the account's standing took its place), withheld (the enforcer withheld what it would have done), over (what it did is over), stands_well, reinstated (an operator gave access back), outranked (a verdict took a tripwire's place), expired (the log said nothing in time), stopped, or what operators said (kill_switch, posture, ring, protected)";
    held: Gauge = Gauge::default(), "fastpath_held", "Accounts that a server of gateways holds on alerts, or would";
    hold_seconds: Histogram = Histogram::new(HOLD_SECONDS), "fastpath_hold_seconds", "From when a datagram was read to when its account is held";
    journal_failures: Counter = Counter::default(), "fastpath_journal_failures", "Lines of the journal of holds, and notes of who was held on a tripwire, that could not be written, or read at the start: nobody is held without";
    journal_stalls: Counter = Counter::default(), "fastpath_journal_stalls", "Lines of the journal of holds, and notes of who was held on a tripwire, whose writing took 100 ms or more: no alert is heard meanwhile";
    datagrams_lost: Counter = Counter::default(), "fastpath_datagrams_lost", "Datagrams of alerts that the kernel threw away because the listener was too busy to read them, a full or slow disk kept it, or too many came";
    fast_path_keys: Gauge = Gauge::default(), "fastpath_keys", "Keys of alerts in force; 0 where there is no file of them";
    fast_path_keys_refused: Gauge = Gauge::default(), "fastpath_keys_refused", "1 while `fastpath.keys_file` cannot be used and the keys before it stay in force; the log says why";
    exported: Family<DestinationLabel, Counter> = Family::default(), "export_notices_delivered", "Notices that destinations of the export took";
    export_drops: Family<DestinationCause, Counter> = Family::default(), "export_dropped", "What a destination of the export will never be told, by cause: notices that it refused, records that cannot be read, offsets that had passed their retention";
    export_retries: Family<DestinationCause, Counter> = Family::default(), "export_retries", "Times that a destination of the export did not take all that it was handed, by cause";
    shadow_accounts: Family<Kind, Gauge> = Family::default(), "shadow_accounts", "Accounts whose tier by a shadow's policy is higher (gained), lower (lost) or the same as by the policy in force";
    shadow_behind: Gauge = Gauge::default(), "shadow_behind_records", "Records that a shadow has not folded yet; -1 where that is not known";
    export_waiting: Family<DestinationLabel, Gauge> = Family::default(), "export_notices_waiting", "Notices that were read for a destination of the export and that it does not have yet";
    output_waiting: Gauge = Gauge::default(), "enforcer_actions_waiting", "Actions that were read and wait to be told, as for their audit record or verdict";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes every series of the closed sets exist at 0, so that no alert waits for a first event.
    fn touch(&self) {
        let judge = weir_processor::JUDGE_VERSION.into();
        let build = BuildLabels { version: Closed(env!("CARGO_PKG_VERSION")), judge };
        self.build.get_or_create(&build).set(1);
        self.set_readiness(Readiness::NotRunning);
        self.sampling.set(1);
        self.shadow_compared(0, 0, 0, None);
        for stage in StageName::FOLDING {
            let label = StageLabel { stage: Closed(stage.as_str()) };
            for family in [
                &self.epochs,
                &self.judged,
                &self.dead_lettered,
                &self.outputs,
                &self.aborts,
                &self.reopened,
                &self.snapshots,
                &self.checkpoints,
                &self.standby_dropped,
                &self.adopted,
            ] {
                let _ = family.get_or_create(&label);
            }
            let _ = self.epoch_seconds.get_or_create(&label);
            let _ = self.lag.get_or_create(&label);
            for start in Start::ALL {
                let start = Closed(start.as_str());
                let _ = self.restore_seconds.get_or_create(&StartLabels { stage: label.stage, start });
            }
            for invariant in Invariant::ALL {
                let invariant = Closed(invariant.as_str());
                let _ = self.invariants.get_or_create(&InvariantLabels { stage: label.stage, invariant });
            }
            let of_a_tier = |tally: &&Tally| Tier::ALL.iter().any(|tier| Tally::of_tier(*tier) == **tally);
            for tally in Tally::ALL.iter().filter(|tally| !of_a_tier(tally)) {
                let cause = Closed(tally.as_str());
                let _ = self.tallies.get_or_create(&CauseLabels { stage: label.stage, cause });
            }
        }
        for detector in weir_processor::detector::NAMES.map(Closed) {
            let _ = self.detector_faults.get_or_create(&DetectorLabel { detector });
            let _ = self.detector_forgot.get_or_create(&DetectorLabel { detector });
        }
        for tier in Tier::ALL {
            let _ = self.verdicts.get_or_create(&Kind { kind: Closed(tier.as_str()) });
        }
        for kind in IndicatorKind::ALL {
            let _ = self.indicators_met.get_or_create(&Kind { kind: Closed(kind.as_str()) });
        }
        for kind in EFFECTS {
            let _ = self.effects.get_or_create(&Kind { kind: Closed(kind) });
        }
        for destination in DestinationKind::ALL.map(|kind| Closed(kind.as_str())) {
            let _ = self.exported.get_or_create(&DestinationLabel { destination });
            let _ = self.export_waiting.get_or_create(&DestinationLabel { destination });
            for cause in DropCause::ALL.map(|cause| Closed(cause.as_str())) {
                let _ = self.export_drops.get_or_create(&DestinationCause { destination, cause });
            }
            for cause in RetryCause::ALL.map(|cause| Closed(cause.as_str())) {
                let _ = self.export_retries.get_or_create(&DestinationCause { destination, cause });
            }
        }
        for transport in Transport::ALL {
            for kind in Passes::NAMES
                .iter()
                .copied()
                .chain(Refused::ALL.map(Refused::as_str))
                .chain([UNAUTHENTICATED])
            {
                let _ = self.gateway_answers.get_or_create(&asked_by(transport, kind));
            }
        }
        for why in Unsent::ALL {
            let _ = self.alerts_unsent.get_or_create(&Kind { kind: Closed(why.as_str()) });
        }
        for cause in Cause::ALL {
            let _ = self.datagrams_refused.get_or_create(&Kind { kind: Closed(cause.as_str()) });
        }
        let unheld = [Unheld::Off, Unheld::BelowScore, Unheld::UnknownTenant, Unheld::Unwritten];
        let unheld = unheld.into_iter().chain(Spared::ALL.map(Unheld::Spared)).map(Unheld::as_str);
        for kind in unheld.chain([HoldMode::Hold, HoldMode::Observe].map(held_as)) {
            let _ = self.holds.get_or_create(&Kind { kind: Closed(kind) });
            let _ = self.tripwire_holds.get_or_create(&Kind { kind: Closed(kind) });
        }
        for why in LetGo::ALL {
            let _ = self.holds_let_go.get_or_create(&Kind { kind: Closed(why.as_str()) });
        }
        for kind in DlqKind::ALL {
            let _ = self.rejected.get_or_create(&Kind { kind: Closed(kind.as_str()) });
        }
        for content in Content::ALL.iter().copied().map(Some).chain([None]) {
            for (status, _) in STATUSES {
                let _ = self.requests.get_or_create(&request_labels(content, status));
            }
        }
        for kind in ["request", "record"] {
            let _ = self.pushed_known.get_or_create(&Kind { kind: Closed(kind) });
        }
        for field in Field::ALL {
            let _ = self.unknown.get_or_create(&FieldLabel { field: Closed(field.as_str()) });
        }
        for change in SourceChange::ALL {
            let _ = self.source_changes.get_or_create(&Kind { kind: Closed(change.as_str()) });
        }
        for loss in Loss::ALL {
            let _ = self.trace_losses.get_or_create(&Kind { kind: Closed(loss.as_str()) });
        }
        for kind in DamageKind::ALL {
            let _ = self.spool_damaged.get_or_create(&Kind { kind: Closed(kind.as_str()) });
        }
        for kind in ["heard", "handed_on"] {
            let _ = self.trace_messages.get_or_create(&Kind { kind: Closed(kind) });
        }
        for probe in weir_tap::PROBE_NAMES.map(Closed) {
            let _ = self.probe_runs.get_or_create(&ProbeLabel { probe });
            let _ = self.probe_run_ns.get_or_create(&ProbeLabel { probe });
        }
        for trap in Trap::ALL {
            let _ = self.probe_trap_ns.get_or_create(&TrapLabel { trap: Closed(trap.as_str()) });
        }
        self.probes_placed([]);
        for cause in LossCause::ALL {
            let _ = self.losses.get_or_create(&Kind { kind: Closed(cause.as_str()) });
        }
        for kind in ActionKind::ALL {
            for state in ActionState::ALL {
                let labels = ActionLabels { kind: Closed(kind.as_str()), state: Closed(state.as_str()) };
                let _ = self.actions.get_or_create(&labels);
            }
        }
    }

    /// Whether the process can do its work, as it is asked.
    pub fn set_readiness(&self, readiness: Readiness) {
        for one in Readiness::ALL {
            let kind = Kind { kind: Closed(one.as_str()) };
            self.readiness.get_or_create(&kind).set(i64::from(one == readiness));
        }
    }

    /// How far the tasks of a stage are behind the log.
    pub fn lag_looked_at(&self, stage: StageName, records: i64) {
        self.lag.get_or_create(&StageLabel { stage: Closed(stage.as_str()) }).set(records);
    }

    /// One process has several sources.
    pub fn sources_may_overlap(&self) {
        warn!(
            "there are several sources: a request that two of them tell of counts twice, so let each gateway have one"
        );
    }

    /// Traced processes read or wrote so many messages, of which so many were handed on.
    pub fn trace_heard(&self, heard: u64, handed_on: u64) {
        self.trace_messages.get_or_create(&Kind { kind: Closed("heard") }).inc_by(heard);
        self.trace_messages.get_or_create(&Kind { kind: Closed("handed_on") }).inc_by(handed_on);
    }

    /// Another share of accounts is kept, because in the last window so much was used, of a budget in
    /// millionths of one processor.
    pub fn sampled(&self, window: &Window, budget_ppm: u64) {
        self.sampling.set(i64::from(window.sampling.one_of()));
        let (used, budget) = (percent(window.used_ppm), percent(budget_ppm));
        let kept = format!("1/{}", window.sampling.one_of());
        if window.sampling > window.before {
            warn!(used, budget, kept, "over the budget of processor time: fewer accounts are kept");
        } else {
            info!(used, budget, kept, "well within the budget of processor time: more accounts are kept");
        }
    }

    /// The budget of processor time is not held, though as few accounts are kept as can be.
    pub fn budget_exceeded(&self, window: &Window, budget_ppm: u64) {
        let (used, budget) = (percent(window.used_ppm), percent(budget_ppm));
        warn!(
            used,
            budget,
            "over the budget of processor time, and no fewer accounts can be kept: the kernel side is read only as far as the budget goes, and what finds no room is counted (tap_full); raise cpu_budget, or trace fewer processes"
        );
    }

    /// A spool was opened that may take so many bytes.
    pub fn spool_opened(&self, bytes_max: u64) {
        self.spool_bytes_max.set(i64::try_from(bytes_max).unwrap_or(i64::MAX));
    }

    /// So much was heard of a traced process, and so much was not handed on; noughts make its series exist.
    pub fn process_heard(&self, process: u32, name: &str, counts: &Counts) {
        for (way, messages, bytes) in
            [("received", counts.received, counts.received_bytes), ("sent", counts.sent, counts.sent_bytes)]
        {
            let labels = ProcessWay { process, name: name.to_owned(), way: Closed(way) };
            self.process_messages.get_or_create(&labels).inc_by(messages);
            self.process_bytes.get_or_create(&labels).inc_by(bytes);
        }
        for (loss, count) in counts.drops() {
            let labels = ProcessCause { process, name: name.to_owned(), cause: Closed(loss.as_str()) };
            self.process_drops.get_or_create(&labels).inc_by(count);
        }
    }

    /// A process is traced no more.
    pub fn process_let_go(&self, process: u32, name: &str) {
        for way in ["received", "sent"].map(Closed) {
            let labels = ProcessWay { process, name: name.to_owned(), way };
            self.process_messages.remove(&labels);
            self.process_bytes.remove(&labels);
        }
        for (loss, _) in Counts::default().drops() {
            let cause = Closed(loss.as_str());
            self.process_drops.remove(&ProcessCause { process, name: name.to_owned(), cause });
        }
    }

    /// These probes are attached now.
    pub fn probes_placed<'s>(&self, sites: impl IntoIterator<Item = &'s Site>) {
        let mut counts = BTreeMap::new();
        for &probe in weir_tap::PLACED_PROBES {
            counts.extend(Placement::KINDS.map(|placement| ((probe, placement), 0)));
        }
        for site in sites {
            *counts.entry((site.probe, site.placement.as_str())).or_default() += 1;
        }
        for ((probe, placement), count) in counts {
            let labels = PlacementLabels { probe: Closed(probe), placement: Closed(placement) };
            self.probes.get_or_create(&labels).set(count);
        }
    }

    /// What probes cost on this machine.
    pub fn traps_measured(&self, costs: &TrapCosts) {
        for trap in Trap::ALL {
            let label = TrapLabel { trap: Closed(trap.as_str()) };
            self.probe_trap_ns.get_or_create(&label).set(i64::try_from(costs.of(trap)).unwrap_or(i64::MAX));
        }
        info!(
            emulated_ns = costs.emulated_ns,
            apart_ns = costs.apart_ns,
            return_ns = costs.return_ns,
            "what a probe costs a call, by how it is placed"
        );
    }

    /// A program of the kernel side ran so often, and for so long.
    pub fn probe_ran(&self, probe: &'static str, runs: u64, run_ns: u64) {
        let label = ProbeLabel { probe: Closed(probe) };
        self.probe_runs.get_or_create(&label).inc_by(runs);
        self.probe_run_ns.get_or_create(&label).inc_by(run_ns);
    }

    /// So much of the processors' time this process has used since it started.
    pub fn cpu_looked_at(&self, cpu_ms: u64) {
        self.cpu_ms.inc_by(cpu_ms.saturating_sub(self.cpu_ms.get()));
    }

    /// The listener answered a request.
    pub fn request_answered(&self, content: Option<Content>, status: u16) {
        self.requests.get_or_create(&request_labels(content, status)).inc();
    }

    /// A connection to the listener ended before TLS stood. Told of the first, and again whenever there are
    /// ten times as many.
    pub fn handshake_failed(&self, reason: &str) {
        let count = self.handshakes_failed.inc() + 1;
        if is_power_of_ten(count) {
            warn!(count, reason, "connections to the listener end before TLS stands");
        }
    }

    /// The listener did not take a request. Told at the first of a kind, and again whenever there are ten
    /// times as many.
    pub fn request_refused(&self, content: Option<Content>, status: u16, reason: &str) {
        let labels = request_labels(content, status);
        let count = self.requests.get_or_create(&labels).get() + 1;
        if is_power_of_ten(count) {
            let (content, status) = (labels.content.0, labels.status.0);
            warn!(content, status, count, reason, "requests to the listener are not taken");
        }
    }

    /// Identities of accounts on which something is in force were written once more.
    pub fn identities_renewed(&self, count: u64) {
        self.identities_renewed.inc_by(count);
        if count > 0 {
            info!(count, "identities of accounts on which something is in force are renewed");
        }
    }

    /// A partition's identities could not be renewed.
    pub fn identities_not_renewed(&self, reason: &str) {
        self.renewals_failed.inc();
        warn!(
            reason,
            "identities of accounts on which something is in force are not renewed, and are forgotten 90 days after they \
             were announced: tried again in ten minutes; the enforcer's user must be allowed to write weir.identities"
        );
    }

    /// An executor did something.
    pub fn effects_done(&self, progress: &Acted) {
        let stuck = progress.stuck.len() as u64;
        let counts = [progress.applied, progress.released, progress.failed, stuck];
        for (kind, count) in EFFECTS.into_iter().zip(counts) {
            self.effects.get_or_create(&Kind { kind: Closed(kind) }).inc_by(count);
        }
        for Stuck { action_id, account, actuator, reason } in &progress.stuck {
            error!(%action_id, %account, actuator, reason, "a hold cannot be let go where it was put on: a person must");
        }
    }

    /// An executor waits; `reason` is given where it is news.
    pub fn effects_stalled(&self, reason: Option<&str>) {
        self.effect_stalls.inc();
        if let Some(reason) = reason {
            error!(reason, "effects wait, and are tried again until they can be done");
        }
    }

    /// An exporter handed notices over; `news` says why it comes again, where that was not told before.
    pub fn exported(&self, kind: DestinationKind, progress: &Exported, news: Option<&str>) {
        let destination = Closed(kind.as_str());
        self.exported.get_or_create(&DestinationLabel { destination }).inc_by(progress.delivered);
        self.export_waiting.get_or_create(&DestinationLabel { destination }).set(progress.waiting as i64);
        for (cause, count, example) in &progress.dropped {
            let cause = Closed(cause.as_str());
            self.export_drops.get_or_create(&DestinationCause { destination, cause }).inc_by(*count);
            warn!(
                destination = destination.0,
                cause = cause.0,
                count,
                example,
                "not told to a SIEM, and never will be"
            );
        }
        if let Some(failure) = &progress.failure {
            let cause = Closed(failure.cause.as_str());
            self.export_retries.get_or_create(&DestinationCause { destination, cause }).inc();
        }
        if let Some(reason) = news {
            warn!(
                destination = destination.0,
                reason, "a SIEM does not take notices; they wait, and are handed over again"
            );
        }
    }

    /// Redis did not answer a server of gateways.
    pub fn shared_bucket_failed(&self) {
        self.shared_bucket_failures.inc();
    }

    /// The registry of tenants was read at the start.
    pub fn tenants_read(&self, count: usize) {
        self.tenants_registered.set(count as i64);
    }

    /// A changed registry of tenants is in force: how many there are, and how many are new, gone, and chose
    /// otherwise.
    pub fn tenants_taken(&self, count: usize, [added, removed, changed]: [usize; 3]) {
        self.tenants_registered.set(count as i64);
        self.tenants_changes.inc();
        self.tenants_refused.set(0);
        info!(tenants = count, added, removed, changed, "the changed registry of tenants is in force");
    }

    /// What lies in the registry's directory cannot be used.
    pub fn tenants_refused(&self, reason: &str) {
        self.tenants_refused.set(1);
        warn!(reason, "tenants.dir was changed and cannot be used: the registry before it stays in force");
    }

    /// What lies there is what is in force again.
    pub fn tenants_mended(&self) {
        self.tenants_refused.set(0);
        info!("tenants.dir is again what is in force");
    }

    /// A gateway was told whether a request may pass.
    pub fn gateway_answered(&self, transport: Transport, passes: Passes) {
        self.gateway_answers.get_or_create(&asked_by(transport, passes.as_str())).inc();
    }

    /// A gateway's request was of nobody.
    pub fn gateway_refused(&self, transport: Transport, why: Refused) {
        let count = self.gateway_answers.get_or_create(&asked_by(transport, why.as_str())).inc() + 1;
        if why != Refused::Unclear && is_power_of_ten(count) {
            warn!(
                count,
                transport = transport.as_str(),
                why = why.as_str(),
                "gateways ask for tenants that are not registered, and nobody of them passes: see docs/operations.md#tenants"
            );
        }
    }

    /// A gateway asked without a token that is known.
    pub fn gateway_unauthenticated(&self, transport: Transport) {
        self.gateway_answers.get_or_create(&asked_by(transport, UNAUTHENTICATED)).inc();
    }

    /// A gateway's connection ended before TLS stood.
    pub fn gateway_handshake_failed(&self, reason: &str) {
        let count = self.gateway_handshakes_failed.inc() + 1;
        if is_power_of_ten(count) {
            warn!(count, reason, "connections of gateways end before TLS stands");
        }
    }

    /// A server of gateways read how accounts stand: how many it knows, how old that is, and how many it has
    /// no room for and could not read.
    pub fn standings_read(&self, known: u64, stale_ms: Option<i64>, (untold, unreadable): (u64, u64)) {
        self.standings.set(known as i64);
        self.standings_stale.set(stale_ms.unwrap_or(-1));
        self.standings_untold.inc_by(untold);
        self.standings_unreadable.inc_by(unreadable);
    }

    /// An alert was sent.
    pub fn alert_sent(&self, word: &Word) {
        self.alerts_sent.inc();
        if matches!(word, Word::Tripwire(_)) {
            self.tripwires_sent.inc();
        }
    }

    /// An alert was not sent, or not to one of its destinations.
    pub fn alert_unsent(&self, why: Unsent) {
        let count = self.alerts_unsent.get_or_create(&Kind { kind: Closed(why.as_str()) }).inc() + 1;
        if !matches!(why, Unsent::History | Unsent::Late | Unsent::TooSoon) && is_power_of_ten(count) {
            warn!(count, why = why.as_str(), "alerts are not sent: see docs/fastpath.md");
        }
    }

    /// An alert was believed that came so long after it was sent.
    pub fn alert_believed(&self, behind_ms: i64) {
        self.alerts_believed.inc();
        self.alert_behind.set(behind_ms);
    }

    /// A datagram was not believed, or no news. No line of the log: anybody may send any number.
    pub fn datagram_refused(&self, cause: Cause) {
        self.datagrams_refused.get_or_create(&Kind { kind: Closed(cause.as_str()) }).inc();
    }

    /// An account is held, or would be, so long after its datagram was read.
    pub fn account_held(&self, word: &Word, mode: HoldMode, took: Duration) {
        self.holds_on(word).get_or_create(&Kind { kind: Closed(held_as(mode)) }).inc();
        self.hold_seconds.observe(took.as_secs_f64());
    }

    /// The account of an alert that is believed is not held.
    pub fn account_unheld(&self, word: &Word, why: Unheld) {
        let count = self.holds_on(word).get_or_create(&Kind { kind: Closed(why.as_str()) }).inc() + 1;
        if why == Unheld::Spared(Spared::Full) && count == 1 {
            warn!(
                "as many accounts are held as fastpath.holds_max lets: further ones are not, see docs/runbooks.md#weirfastpathrefused"
            );
        }
    }

    fn holds_on(&self, word: &Word) -> &Family<Kind, Counter> {
        match word {
            Word::Verdict(_) => &self.holds,
            Word::Tripwire(_) => &self.tripwire_holds,
        }
    }

    /// An account is held no longer.
    pub fn account_let_go(&self, why: LetGo) {
        self.holds_let_go.get_or_create(&Kind { kind: Closed(why.as_str()) }).inc();
    }

    /// So many accounts are held.
    pub fn holds_looked_at(&self, held: usize) {
        self.held.set(held as i64);
    }

    /// A line of the journal of holds, or a note of who was held on a tripwire, was not written.
    pub fn journal_failed(&self, error: &std::io::Error) {
        if is_power_of_ten(self.journal_failures.inc() + 1) {
            error!(%error, "the journal of holds, or who was held on a tripwire, cannot be written: nobody is held of whom it is not");
        }
    }

    /// Who was held on a tripwire cannot be read.
    pub fn rests_unknown(&self, error: &std::io::Error) {
        self.journal_failures.inc();
        error!(
            %error,
            "fastpath/tripwire-rests in data_dir cannot be read: nobody is held on a tripwire, see docs/runbooks.md#weirfastpathrefused; start the server anew once it can"
        );
    }

    /// A line of the journal of holds took so long to be written.
    pub fn journal_stalled(&self, took: Duration) {
        let count = self.journal_stalls.inc() + 1;
        if is_power_of_ten(count) {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            warn!(
                count,
                took_ms,
                "the disk of the journal of holds is slow: no alert is heard while a line is written, see docs/runbooks.md#weirfastpathrefused"
            );
        }
    }

    /// The kernel threw so many more datagrams of alerts away.
    pub fn datagrams_lost(&self, count: u64) {
        let before = self.datagrams_lost.inc_by(count);
        if before == 0 && count > 0 {
            warn!(
                count,
                "datagrams of alerts were thrown away because the listener was too busy, see docs/runbooks.md#weirfastpathrefused; further ones are only counted"
            );
        }
    }

    /// The keys of alerts were read.
    pub fn fast_path_keys_read(&self, keys: usize) {
        self.fast_path_keys.set(keys as i64);
        self.fast_path_keys_refused.set(0);
        info!(keys, "these keys of alerts are in force");
    }

    /// The file of keys cannot be used.
    pub fn fast_path_keys_refused(&self, reason: &str) {
        self.fast_path_keys_refused.set(1);
        error!(reason, "the keys of alerts stay as they were");
    }

    /// A shadow compared what its policy says with what the one in force does.
    pub fn shadow_compared(&self, gained: u64, lost: u64, same: u64, behind_records: Option<i64>) {
        for (kind, accounts) in [("gained", gained), ("lost", lost), ("same", same)] {
            self.shadow_accounts.get_or_create(&Kind { kind: Closed(kind) }).set(accounts as i64);
        }
        self.shadow_behind.set(behind_records.unwrap_or(-1));
    }

    /// The metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            // Only a formatter that fails can fail here, and a String does not.
            text.clear();
        }
        text
    }
}

fn is_power_of_ten(count: u64) -> bool {
    count > 0 && 10u64.pow(count.ilog10()) == count
}

fn labels_of(task: TaskId) -> TaskLabels {
    TaskLabels { stage: Closed(task.stage.as_str()), partition: task.partition }
}

fn of(task: TaskId) -> StageLabel {
    StageLabel { stage: Closed(task.stage.as_str()) }
}

impl Telemetry for Metrics {
    fn epoch_committed(&self, task: TaskId, judged: u64, dead_lettered: u64, outputs: u64, took: Duration) {
        let label = of(task);
        self.epochs.get_or_create(&label).inc();
        self.judged.get_or_create(&label).inc_by(judged);
        self.dead_lettered.get_or_create(&label).inc_by(dead_lettered);
        self.outputs.get_or_create(&label).inc_by(outputs);
        self.epoch_seconds.get_or_create(&label).observe(took.as_secs_f64());
        debug!(%task, judged, dead_lettered, outputs, took_ms = took.as_millis() as u64, "epoch committed");
    }

    fn verdict_told(&self, age_ms: i64) {
        if age_ms < HISTORY_MS {
            self.verdict_seconds.observe(age_ms.max(0) as f64 / 1e3);
        }
    }

    fn effect_told(&self, took_ms: i64) {
        self.effect_seconds.observe(took_ms.max(0) as f64 / 1e3);
    }

    fn commit_aborted(&self, task: TaskId, reason: &str) {
        self.aborts.get_or_create(&of(task)).inc();
        warn!(%task, reason, "commit aborted, trying again");
    }

    fn task_reopened(&self, task: TaskId, reason: &str) {
        self.reopened.get_or_create(&of(task)).inc();
        warn!(%task, reason, "task starts over from the log");
    }

    fn invariant_broken(&self, task: TaskId, invariant: Invariant, detail: &str) {
        let labels = InvariantLabels { stage: of(task).stage, invariant: Closed(invariant.as_str()) };
        self.invariants.get_or_create(&labels).inc();
        error!(%task, %invariant, detail, "an epoch breaks an invariant and was not committed; please report it");
    }

    fn task_restored(&self, task: TaskId, start: Start, entries: u64, epochs: u64, took: Duration) {
        let start = start.as_str();
        let labels = StartLabels { stage: of(task).stage, start: Closed(start) };
        self.restore_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        debug!(%task, start, entries, epochs, took_ms = took.as_millis() as u64, "task restored");
    }

    fn epochs_adopted(&self, task: TaskId, epochs: i64, accounts: i64, outputs: u64) {
        self.adopted.get_or_create(&of(task)).inc_by(epochs.max(0) as u64);
        warn!(
            %task,
            epochs, accounts, outputs, "another judge recorded the last epochs: they stand, and what they touched was judged once more"
        );
    }

    fn standby_looked_at(&self, task: TaskId, entries: u64, behind: u64) {
        let labels = labels_of(task);
        self.standby_entries.get_or_create(&labels).set(entries as i64);
        self.standby_behind.get_or_create(&labels).set(behind as i64);
    }

    fn standby_ended(&self, task: TaskId) {
        let labels = labels_of(task);
        self.standby_entries.remove(&labels);
        self.standby_behind.remove(&labels);
    }

    fn standby_dropped(&self, task: TaskId, reason: &str) {
        self.standby_ended(task);
        self.standby_dropped.get_or_create(&of(task)).inc();
        warn!(%task, reason, "standby dropped; it begins anew, and until it is there the task is taken up without one");
    }

    fn task_abandoned(&self, task: TaskId, waited: Duration) {
        let waited_s = waited.as_secs();
        warn!(%task, waited_s, "the task has not ended yet and is waited for no longer; whoever has its partition next fences it");
    }

    fn task_released(&self, task: TaskId) {
        // Whoever has the partition next tells its levels.
        for family in [&self.kill_switch, &self.reviews_waiting, &self.reviews_overdue] {
            family.remove(&labels_of(task));
        }
        debug!(%task, "task released");
    }

    fn snapshot_written(&self, task: TaskId, entries: u64) {
        self.snapshots.get_or_create(&of(task)).inc_by(entries);
    }

    fn checkpoint_written(&self, task: TaskId, entries: u64, took: Duration) {
        self.checkpoints.get_or_create(&of(task)).inc();
        info!(%task, entries, took_ms = took.as_millis() as u64, "checkpoint written");
    }

    fn state_entries(&self, task: TaskId, entries: u64) {
        self.entries.get_or_create(&labels_of(task)).set(entries as i64);
    }

    fn level_looked_at(&self, task: TaskId, level: Level, value: i64) {
        let family = match level {
            Level::KillSwitch => &self.kill_switch,
            Level::ReviewsWaiting => &self.reviews_waiting,
            Level::ReviewsOverdue => &self.reviews_overdue,
        };
        family.get_or_create(&labels_of(task)).set(value);
    }

    fn tallied(&self, task: TaskId, tally: Tally, count: u64) {
        if let Some(tier) = Tier::ALL.iter().find(|tier| Tally::of_tier(**tier) == tally) {
            self.verdicts.get_or_create(&Kind { kind: Closed(tier.as_str()) }).inc_by(count);
            return;
        }
        let of_detectors = match tally {
            Tally::DetectorFaults(name) => Some((&self.detector_faults, name)),
            Tally::DetectorForgot(name) => Some((&self.detector_forgot, name)),
            _ => None,
        };
        if let Some((family, name)) = of_detectors {
            family.get_or_create(&DetectorLabel { detector: Closed(name) }).inc_by(count);
            return;
        }
        if tally == Tally::KillSwitchChanged {
            error!(%task, "the kill switch was used: `weir kill-switch status` says how it stands");
        }
        if tally == Tally::KillSwitchRefused {
            warn!(%task, "a word to the kill switch is refused: the audit chain says whose and why");
        }
        if tally == Tally::ReviewsOverdue {
            warn!(%task, accounts = count, "nobody has decided on accounts in time: `weir review list` lists them first");
        }
        if tally == Tally::ReviewsDropped {
            error!(%task, accounts = count, "accounts are forgotten that waited for an analyst: the audit chain names them");
        }
        if tally == Tally::ReviewWordsRefused {
            warn!(%task, "an analyst's word is refused: the audit chain says whose and why");
        }
        if tally == Tally::StormsFound {
            error!(
                %task,
                "a storm: many more accounts are found at CRITICAL within a minute than usual; `weir explain` says why each is"
            );
        }
        if tally == Tally::LimiterPaused {
            error!(
                %task,
                "the limiter pauses: too many accounts at once. `weir limiter show` says why and whose, and how to let it go on"
            );
        }
        let labels = CauseLabels { stage: of(task).stage, cause: Closed(tally.as_str()) };
        self.tallies.get_or_create(&labels).inc_by(count);
    }

    fn bytes_read(&self, bytes: u64) {
        self.bytes_read.inc_by(bytes);
    }

    fn events_published(&self, count: u64) {
        self.events.inc_by(count);
    }

    fn lines_mended(&self, count: u64) {
        self.mended.inc_by(count);
    }

    fn identities_announced(&self, count: u64) {
        self.announced.inc_by(count);
    }

    fn identities_forgotten(&self, count: u64) {
        self.announced_forgotten.inc_by(count);
    }

    fn line_rejected(&self, kind: DlqKind) {
        self.rejected.get_or_create(&Kind { kind: Closed(kind.as_str()) }).inc();
    }

    fn lines_refused(&self, kind: DlqKind, count: u64, offset: u64, reason: &str) {
        warn!(
            kind = kind.as_str(),
            count,
            first_at_byte = offset,
            reason,
            "lines are refused and not judged; `weir dlq list` has all of them, `weir check-log FILE` says more"
        );
    }

    fn pushed_refused(&self, kind: DlqKind, count: u64, reason: &str) {
        let kind = kind.as_str();
        warn!(
            kind,
            count, reason, "pushed records are refused and not judged; `weir dlq list` has all of them"
        );
    }

    fn pushed_known(&self, requests: u64, records: u64) {
        self.pushed_known.get_or_create(&Kind { kind: Closed("request") }).inc_by(requests);
        self.pushed_known.get_or_create(&Kind { kind: Closed("record") }).inc_by(records);
        debug!(requests, records, "what was pushed came before, and is no event a second time");
    }

    fn records_other(&self, records: u64) {
        // What was counted before.
        if self.records_other.inc_by(records) == 0 {
            info!(records, "records that tell of no request to a model are passed over and counted");
        }
    }

    fn field_unknown(&self, field: &'static str, count: u64) {
        self.unknown.get_or_create(&FieldLabel { field: Closed(field) }).inc_by(count);
    }

    fn requests_unowned(&self, count: u64) {
        self.unowned.inc_by(count);
    }

    fn format_taken(&self, format: &str, unread: &[&str]) {
        if unread.is_empty() {
            info!(format, "lines are read");
        } else {
            info!(
                format,
                unread = unread.join(", "),
                "lines are read; another format reads what this one leaves unread"
            );
        }
    }

    fn source_changed(&self, change: SourceChange, file: &str) {
        let change = change.as_str();
        self.source_changes.get_or_create(&Kind { kind: Closed(change) }).inc();
        info!(change, file, "source changed");
    }

    fn lines_known(&self, file: &str, lines: u64) {
        self.known.inc_by(lines);
        warn!(file, lines, "the file is a copy of one that was read before; its lines are not read again");
    }

    fn source_lost(&self, cause: LossCause, file: &str, from: u64, to: Option<u64>) {
        let cause = cause.as_str();
        self.losses.get_or_create(&Kind { kind: Closed(cause) }).inc();
        match to {
            Some(to) => {
                self.bytes_lost.inc_by(to.saturating_sub(from));
                warn!(
                    cause,
                    file, from, to, "lines of a source were lost: bytes `from` up to `to` of the file"
                );
            }
            None => warn!(
                cause,
                file, from, "lines of a source may have been lost: bytes `from` and after of the file"
            ),
        }
    }

    fn topic_lost(&self, topic: &str, partition: i32, from: i64, to: i64) {
        self.losses.get_or_create(&Kind { kind: Closed(LossCause::Gone.as_str()) }).inc();
        warn!(
            topic,
            partition,
            from,
            to,
            "records of a topic were lost: offsets `from` up to `to` had passed their retention"
        );
    }

    fn trace_lost(&self, cause: &'static str, count: u64) {
        self.trace_losses.get_or_create(&Kind { kind: Closed(cause) }).inc_by(count);
    }

    fn spool_looked_at(&self, waiting_bytes: u64, bytes: u64) {
        self.spool_waiting_bytes.set(i64::try_from(waiting_bytes).unwrap_or(i64::MAX));
        self.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn spool_replayed(&self, events: u64) {
        self.spool_replayed.inc_by(events);
    }

    fn spool_damaged(&self, kind: &'static str, file: &str, from: u64, bytes: u64) {
        self.spool_damaged.get_or_create(&Kind { kind: Closed(kind) }).inc_by(bytes);
        warn!(kind, file, from, bytes, "bytes of the spool cannot be used, and the events in them are lost");
    }

    fn indicators_loaded(&self, count: u64) {
        self.indicators.set(count as i64);
        self.indicators_unreadable.set(0);
        info!(count, "requests are compared with indicators of others");
    }

    fn indicators_refused(&self, file: &str, reason: &str) {
        self.indicators_unreadable.set(1);
        error!(
            file,
            reason,
            "the file of indicators cannot be read: those of before go on being compared; `weir indicators import` or \
             `weir indicators expire` writes it anew"
        );
    }

    fn indicator_met(&self, kind: &'static str) {
        self.indicators_met.get_or_create(&Kind { kind: Closed(kind) }).inc();
    }

    fn spool_passed_over(&self, reason: &str) {
        self.spool_passed_over.inc();
        warn!(reason, "the spool takes nothing: what is heard waits in memory, and is lost over 64 MiB");
    }

    fn spool_unsure(&self, reason: &str) {
        self.spool_unsure.inc();
        warn!(reason, "the spool's disk does not do what it is asked: a loss of power may cost events");
    }

    fn source_unavailable(&self, reason: &str) {
        self.source_unavailable.inc();
        warn!(reason, "source cannot be read, trying again");
    }

    fn action_settled(&self, kind: ActionKind, state: ActionState) {
        let labels = ActionLabels { kind: Closed(kind.as_str()), state: Closed(state.as_str()) };
        self.actions.get_or_create(&labels).inc();
    }

    fn output_stalled(&self, reason: &str) {
        self.output_stalls.inc();
        error!(reason, "the enforcer's files cannot be written; nothing is acted on until they can");
    }

    fn output_unreadable(&self, records: u64) {
        self.output_unreadable.inc_by(records);
        warn!(
            records,
            "records that cannot be read, or actions that no audit record allows, were passed over"
        );
    }

    fn output_unopened(&self, actions: u64) {
        self.output_unopened.inc_by(actions);
        warn!(
            actions,
            "actions are told without their raw account id; account_raw_error in their lines says why"
        );
    }

    fn output_identities_refused(&self, identities: u64) {
        self.identities_refused.inc_by(identities);
    }

    fn output_identities_forgotten(&self, identities: u64) {
        self.identities_forgotten.inc_by(identities);
    }

    fn output_indicators_forgotten(&self, values: u64) {
        self.indicators_forgotten.inc_by(values);
    }

    fn output_waiting(&self, actions: u64) {
        self.output_waiting.set(actions as i64);
    }
}

/// Millionths of a processor, as people say it.
fn percent(ppm: u64) -> String {
    format!("{:.2} %", ppm as f64 / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_metrics_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == list::page(DECLARED, &weir_enforcer::siem::destination::otlp::spans::DECLARED),
            "docs/metrics.md is stale: run `cargo xtask docs`"
        );
    }

    #[test]
    fn what_is_served_is_what_is_declared() {
        let metrics = Metrics::new();
        let task = TaskId { stage: StageName::Account, partition: 3 };
        metrics.standby_looked_at(task, 1, 1);
        metrics.state_entries(task, 1);
        metrics.process_heard(7, "nginx", &Counts::default());
        for level in [Level::KillSwitch, Level::ReviewsWaiting, Level::ReviewsOverdue] {
            metrics.level_looked_at(task, level, 1);
        }
        let text = metrics.render();
        let served: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let declared: Vec<_> =
            DECLARED.iter().map(|metric| format!("weir_{} {}", metric.name, metric.kind)).collect();
        assert_eq!(served, declared);
        for metric in DECLARED {
            let prefix = format!("weir_{}", metric.name);
            let of_metric = |line: &&str| {
                line.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
                    && !line.starts_with('#')
            };
            let line = text.lines().find(of_metric).unwrap_or_else(|| panic!("no series of {prefix}"));
            for label in metric.labels {
                assert!(line.contains(&format!("{label}=\"")), "{line} has no {label}");
            }
        }
    }

    #[test]
    fn the_levels_of_a_partition_that_left_are_told_no_more() {
        let metrics = Metrics::new();
        let [left, kept] = [3, 4].map(|partition| TaskId { stage: StageName::Enforcer, partition });
        for (task, level) in [left, kept].into_iter().flat_map(|task| {
            [Level::KillSwitch, Level::ReviewsWaiting, Level::ReviewsOverdue].map(|level| (task, level))
        }) {
            metrics.level_looked_at(task, level, 1);
        }
        metrics.task_released(left);
        let text = metrics.render();
        let levels = ["weir_kill_switch_state{", "weir_reviews_waiting{", "weir_reviews_overdue{"];
        let served = text.lines().filter(|line| levels.iter().any(|level| line.starts_with(level)));
        assert_eq!(
            served.collect::<Vec<_>>(),
            levels.map(|level| format!("{level}stage=\"enforcer\",partition=\"4\"}} 1"))
        );
    }

    #[test]
    fn a_verdict_on_history_says_nothing_of_how_long_verdicts_take() {
        let metrics = Metrics::new();
        [0, 700, -50, 25 * 3_600_000].into_iter().for_each(|age_ms| metrics.verdict_told(age_ms));
        let text = metrics.render();
        let of_verdicts =
            |line: &&str| line.starts_with("weir_event_to_verdict_seconds_") && !line.contains("_bucket");
        assert_eq!(
            text.lines().filter(of_verdicts).collect::<Vec<_>>(),
            ["weir_event_to_verdict_seconds_sum 0.7", "weir_event_to_verdict_seconds_count 3"]
        );
    }

    #[test]
    fn what_the_enforcers_files_pass_over_is_in_the_metrics() {
        let metrics = Metrics::new();
        metrics.output_unreadable(2);
        metrics.output_unopened(3);
        metrics.output_indicators_forgotten(4);
        metrics.output_waiting(5);
        metrics.output_waiting(1);
        let text = metrics.render();
        for series in [
            "weir_enforcer_records_unreadable_total 2",
            "weir_enforcer_accounts_unopened_total 3",
            "weir_enforcer_indicators_forgotten_total 4",
            "weir_enforcer_actions_waiting 1",
        ] {
            assert!(text.lines().any(|line| line == series), "{series} is not in\n{text}");
        }
    }
}
