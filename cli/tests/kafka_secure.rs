//! Kafka with TLS and SASL: every way in that Weir has settings for, and what an operator gets wrong.
//!
//! Runs where `cargo xtask kafka env` or `cargo xtask test` says where a broker listens for TLS, and
//! where its certificates are. Each mistake must end the command by itself, with its cause and what to do.

#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::Fleet;
use common::{Place, Running, success, text, traffic, weir};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// One broker with a listener for each kind of client.
struct Broker {
    plain: String,
    /// TLS, and a user with a password.
    sasl: String,
    /// TLS, and a certificate of the client.
    mutual: String,
    files: PathBuf,
}

impl Broker {
    /// None where there is no such broker.
    fn find() -> Option<Self> {
        const NAMES: [&str; 4] =
            ["WEIR_BROKERS", "WEIR_TEST_BROKERS_SASL", "WEIR_TEST_BROKERS_MUTUAL", "WEIR_TEST_SECURE_DIR"];
        let values = NAMES.map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let [Some(plain), Some(sasl), Some(mutual), Some(files)] = values else {
            assert!(std::env::var_os("CI").is_none(), "{NAMES:?} must be set in CI");
            eprintln!("skipped: no broker with TLS is named (cargo xtask kafka up; cargo xtask kafka env)");
            return None;
        };
        Some(Self { plain, sasl, mutual, files: files.into() })
    }

    fn file(&self, name: &str) -> String {
        self.files.join(name).to_str().unwrap().to_owned()
    }

    fn with_password(&self, mechanism: &str) -> Flags {
        let flags = Flags::default().set("security-protocol", "sasl_ssl").set("ca-file", self.file("ca.pem"));
        flags
            .set("sasl-mechanism", mechanism)
            .set("sasl-username", "weir")
            .set("sasl-password-file", self.file("password"))
    }

    fn with_certificate(&self) -> Flags {
        let flags = Flags::default().set("security-protocol", "ssl").set("ca-file", self.file("ca.pem"));
        flags.set("cert-file", self.file("client.pem")).set("key-file", self.file("client.key"))
    }

    /// What no message may show.
    fn secrets(&self) -> Vec<String> {
        let content = |name: &str| fs::read_to_string(self.files.join(name)).unwrap();
        let key = content("client.key").lines().nth(1).unwrap().to_owned();
        vec![content("password").trim().to_owned(), WRONG.into(), key, "PRIVATE KEY".into()]
    }
}

const WRONG: &str = "a-wrong-password";

/// Flags of the family `--kafka-`; a later one takes the place of an earlier.
#[derive(Clone, Default)]
struct Flags(Vec<(String, String)>);

impl Flags {
    fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self = self.without(name);
        self.0.push((name.into(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(other, _)| other != name);
        self
    }

    fn arguments(&self) -> Vec<String> {
        self.0.iter().flat_map(|(name, value)| [format!("--kafka-{name}"), value.clone()]).collect()
    }
}

fn a_deployment_works(name: &str, brokers: &str, flags: &Flags) {
    let fleet = Fleet::at(brokers.to_owned(), flags.arguments(), name, 2);
    fs::write(&fleet.place.feed, traffic(20, 60)).unwrap();
    fleet.import();
    let mut process = fleet.processor();
    process.arg("--until-idle");
    success(process);
    let mut enforce = fleet.with_keys(&["enforce", "--until-idle"]);
    enforce.arg("--output-dir").arg(&fleet.place.output);
    success(enforce);
    let verified = success(fleet.with_brokers(&["verify", "--all", "--format", "json"]));
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(report["proven"].as_u64() > Some(0) && report["different"] == 0, "{report}");
}

#[test]
fn a_deployment_works_with_a_password_that_never_travels() {
    let Some(broker) = Broker::find() else { return };
    a_deployment_works("scram", &broker.sasl, &broker.with_password("SCRAM-SHA-512"));
}

#[test]
fn a_deployment_works_with_a_password_that_travels_in_tls() {
    let Some(broker) = Broker::find() else { return };
    a_deployment_works("plain", &broker.sasl, &broker.with_password("PLAIN"));
}

#[test]
fn a_deployment_works_with_a_certificate() {
    let Some(broker) = Broker::find() else { return };
    a_deployment_works("mutual", &broker.mutual, &broker.with_certificate());
}

/// Something that an operator gets wrong, and what must be told.
struct Mistake {
    what: &'static str,
    brokers: String,
    flags: Flags,
    told: [&'static str; 2],
}

fn written(place: &Place, name: &str, content: &str, mode: u32) -> String {
    let path = place.directory.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn mistakes(broker: &Broker, place: &Place) -> Vec<Mistake> {
    let (scram, plain) = (broker.with_password("SCRAM-SHA-512"), broker.with_password("PLAIN"));
    let certificate = broker.with_certificate();
    let wrong = written(place, "wrong", WRONG, 0o600);
    let open = written(place, "open", &fs::read_to_string(broker.files.join("password")).unwrap(), 0o644);
    let sasl = |what, flags: Flags, told| Mistake { what, brokers: broker.sasl.clone(), flags, told };
    let mutual = |what, flags: Flags, told| Mistake { what, brokers: broker.mutual.clone(), flags, told };
    let plain_port = |what, flags: Flags, told| Mistake { what, brokers: broker.plain.clone(), flags, told };
    let not_there = "/not/there";
    let refused = [
        "the broker refuses the user or the password",
        "check kafka.sasl_username, kafka.sasl_password_file",
    ];
    let untrusted = ["the broker's certificate cannot be trusted", "kafka.ca_file must hold the authority"];
    let unwelcome =
        ["the broker does not take this client's certificate", "set kafka.cert_file and kafka.key_file"];
    let too_plain = ["the broker closes connections of this protocol", "check kafka.security_protocol"];
    vec![
        sasl("a wrong password", scram.clone().set("sasl-password-file", &wrong), refused),
        sasl("a wrong password, PLAIN", plain.clone().set("sasl-password-file", &wrong), refused),
        sasl("an unknown user", scram.clone().set("sasl-username", "nobody"), refused),
        sasl(
            "a mechanism that the broker lacks",
            scram.clone().set("sasl-mechanism", "SCRAM-SHA-256"),
            ["the broker does not take this SASL mechanism", "check kafka.sasl_mechanism"],
        ),
        sasl(
            "an authority that did not sign the broker",
            scram.clone().set("ca-file", broker.file("stranger-ca.pem")),
            untrusted,
        ),
        sasl("the system's authorities", scram.clone().without("ca-file"), untrusted),
        mutual(
            "no client certificate",
            certificate.clone().without("cert-file").without("key-file"),
            unwelcome,
        ),
        mutual(
            "a certificate that a stranger signed",
            certificate
                .clone()
                .set("cert-file", broker.file("stranger.pem"))
                .set("key-file", broker.file("stranger.key")),
            unwelcome,
        ),
        mutual(
            "the key of another certificate",
            certificate.clone().set("key-file", broker.file("stranger.key")),
            ["kafka.key_file", "key values mismatch"],
        ),
        sasl("plain text to the port for TLS", Flags::default(), too_plain),
        mutual("plain text to the port for certificates", Flags::default(), too_plain),
        sasl("no user to the port for SASL", certificate.clone(), too_plain),
        plain_port(
            "TLS to the port for plain text",
            scram.clone(),
            ["the broker does not answer in TLS", "check kafka.security_protocol"],
        ),
        sasl(
            "a password file that others can read",
            scram.clone().set("sasl-password-file", &open),
            ["kafka.sasl_password_file", "can be read by others (mode 644): chmod 600 it"],
        ),
        sasl(
            "a password file that is not there",
            scram.clone().set("sasl-password-file", not_there),
            ["cannot read kafka.sasl_password_file /not/there", "No such file"],
        ),
        sasl(
            "an authority that is not there",
            scram.clone().set("ca-file", not_there),
            ["cannot read kafka.ca_file /not/there", "No such file"],
        ),
        mutual(
            "an authority that is none",
            certificate.clone().set("ca-file", &wrong),
            ["the Kafka client refuses its settings", "kafka.ca_file"],
        ),
        plain_port(
            "a password without a protocol that asks for it",
            scram.without("security-protocol").without("ca-file"),
            ["kafka.sasl_mechanism is set, but kafka.security_protocol is plaintext", "set sasl_ssl"],
        ),
    ]
}

/// Ends by itself without success, and says what it must and no secret.
fn is_told(command: &[&str], mistake: &Mistake, secrets: &[String]) {
    let mut weir = weir(command);
    weir.args(["--brokers", &mistake.brokers, "--kafka-prefix", "none-", "--log-level", "debug"]);
    weir.args(mistake.flags.arguments());
    let what = format!("{}: {}", command[0], mistake.what);
    let output = Running::start(weir).ended(&what);
    let said = text(&output.stderr) + &text(&output.stdout);
    assert!(!output.status.success() && !said.contains("panicked"), "{what}: {said}");
    for told in mistake.told {
        assert!(said.contains(told), "{what} does not tell {told:?}: {said}");
    }
    for secret in secrets {
        assert!(!said.contains(secret.as_str()), "{what} shows a secret");
    }
}

/// All at once: most of the time they wait for an answer.
fn all_are_told(command: &[&str], mistakes: &[Mistake], secrets: &[String]) {
    std::thread::scope(|scope| {
        for mistake in mistakes {
            scope.spawn(|| is_told(command, mistake, secrets));
        }
    });
}

#[test]
fn an_operator_is_told_each_mistake_and_how_to_mend_it() {
    let Some(broker) = Broker::find() else { return };
    let place = Place::new();
    all_are_told(&["topology", "check"], &mistakes(&broker, &place), &broker.secrets());
}

#[test]
fn a_collector_a_processor_and_an_enforcer_end_where_they_are_not_let_in() {
    let Some(broker) = Broker::find() else { return };
    let place = Place::new();
    fs::write(&place.feed, traffic(1, 1)).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (output, feed) = (path(&place.output), path(&place.feed));
    let (collector, enforcer) = (path(&place.keys_of("collector")), path(&place.keys_of("enforcer")));
    let mistakes = mistakes(&broker, &place);
    let secrets = broker.secrets();
    let commands: [&[&str]; 4] = [
        &["import", "--keys-dir", &collector, &feed],
        &["process"],
        &["enforce", "--keys-dir", &enforcer, "--output-dir", &output],
        &["verify", "--all"],
    ];
    let notable = ["a wrong password", "an authority that did not sign the broker", "no client certificate"];
    let notable =
        notable.into_iter().chain(["plain text to the port for TLS", "TLS to the port for plain text"]);
    std::thread::scope(|scope| {
        for what in notable {
            let mistake = mistakes.iter().find(|mistake| mistake.what == what).unwrap();
            for command in commands {
                let secrets = &secrets;
                scope.spawn(move || is_told(command, mistake, secrets));
            }
        }
    });
}
