//! Every role under a service manager, started by the line of its shipped unit: told when it is ready, that
//! it is alive, that it stands still, and that it stops.
//!
//! Runs where `WEIR_BROKERS` names a broker, as `cargo xtask test` does.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::fleet::Fleet;
use common::{Running, eventually, weir};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// After how long without a word the manager would restart a process, in microseconds.
const WATCHDOG_US: &str = "300000";

/// The arguments of the shipped unit, with its configuration file in another place.
fn arguments(role: &str, config: &Path) -> Vec<String> {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/systemd/weir-{role}.service"));
    let unit = std::fs::read_to_string(unit).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/weir ")).unwrap();
    let of_unit = format!("/etc/weir/{role}.toml");
    assert!(line.ends_with(&of_unit), "{line}");
    line.split(' ')
        .map(|word| if word == of_unit { config.display().to_string() } else { word.into() })
        .collect()
}

/// A service manager with one process.
struct Manager {
    socket: UnixDatagram,
    running: Running,
}

impl Manager {
    fn start(fleet: &Fleet, role: &str, keys: &[(&str, String)]) -> Self {
        let at = |name: String| -> PathBuf { fleet.place.directory.path().join(name) };
        let (path, config) = (at(format!("{role}.notify")), at(format!("{role}.toml")));
        let quoted = |(name, value): &(&str, String)| format!("{name} = {value:?}\n");
        let common = [("brokers", fleet.brokers.clone()), ("kafka.prefix", fleet.prefix.clone())];
        std::fs::write(&config, common.iter().chain(keys).map(quoted).collect::<String>()).unwrap();
        let socket = UnixDatagram::bind(&path).unwrap();
        let arguments = arguments(role, &config);
        let mut command = weir(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG_US);
        Self { socket, running: Running::start(command) }
    }

    /// What it is told next, within a time.
    fn told(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut datagram = [0; 4096];
        let length = self.socket.recv(&mut datagram).ok()?;
        Some(String::from_utf8(datagram[..length].to_vec()).unwrap())
    }

    /// Waits until it is told this.
    fn is_told(&self, role: &str, line: &str) {
        let mut heard = String::new();
        eventually(&format!("{role}: {line}"), || {
            heard += &self.told(Duration::from_millis(200)).unwrap_or_default();
            heard.lines().any(|told| told == line)
        });
    }

    fn signal(&self, name: &str) {
        let pid = self.running.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// What the kernel says of the process under this name.
    fn status(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.0.id())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        value.unwrap_or_else(|| panic!("{name} is not in {status}")).to_owned()
    }

    fn stands_still(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.0.id())).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('T')
    }
}

#[test]
fn every_role_says_when_it_is_ready_that_it_is_alive_and_that_it_stops_and_nothing_while_it_stands_still() {
    let Some(fleet) = Fleet::new("supervise", 2) else { return };
    std::fs::write(&fleet.place.feed, "").unwrap();
    let of_place = |path: &Path| path.display().to_string();
    let keys = |role: &str| ("keys_dir", of_place(&fleet.place.keys_of(role)));
    let roles = [
        ("process", vec![]),
        ("collect", vec![keys("collector"), ("tail", of_place(&fleet.place.feed))]),
        ("enforce", vec![keys("enforcer"), ("output_dir", of_place(&fleet.place.output))]),
        ("decide", vec![keys("collector"), ("decide.addr", "127.0.0.1:0".to_owned())]),
        ("export", vec![("export.files_dir", of_place(&fleet.place.output.join("export")))]),
    ];
    for (role, settings) in roles {
        let manager = Manager::start(&fleet, role, &settings);
        manager.is_told(role, "READY=1");
        // What runs beside a gateway has small pages, from its very beginning: it is started anew for them,
        // as the same process.
        let large_pages = if role == "collect" { "0" } else { "1" };
        assert_eq!(
            (manager.status("Name"), manager.status("THP_enabled")),
            ("weir".into(), large_pages.into())
        );
        for _ in 0..3 {
            manager.is_told(role, "WATCHDOG=1");
        }
        manager.signal("-STOP");
        eventually("it stands still", || manager.stands_still());
        while manager.told(Duration::from_millis(1)).is_some() {}
        assert_eq!(
            manager.told(Duration::from_secs(1)),
            None,
            "{role} stands still and says that it is alive"
        );
        manager.signal("-CONT");
        manager.is_told(role, "WATCHDOG=1");
        manager.signal("-TERM");
        manager.is_told(role, "STOPPING=1");
        let ended = manager.running.ended(role);
        assert!(ended.status.success(), "{role}: {}", common::text(&ended.stderr));
    }
}
