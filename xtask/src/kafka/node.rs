//! Our own broker: one KRaft node with its home under `target/kafka`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::hanging::{Decisions, Hanging};
use super::probe;
use super::properties::{Ports, render};
use super::secure::{Secure, USER, write_private};
use crate::daemon::Daemon;
use crate::shell::{mortal, output};
use crate::{dirs, maven};

/// How long a start may take on a busy machine.
const START_WAIT: Duration = Duration::from_secs(120);
/// KRaft wants an id; each home holds a cluster of its own, so that one will do for all.
const CLUSTER_ID: &str = "d2Vpci10ZXN0LWNsdXN0ZQ";

/// Where clients connect with TLS.
pub struct Secured {
    /// `host:port` of the listener that wants a user and a password.
    pub sasl: String,
    /// `host:port` of the listener that wants a client certificate.
    pub mutual: String,
    /// Directory with the certificates, keys and the password.
    pub files: PathBuf,
}

/// The node, running or not.
pub struct Node {
    home: PathBuf,
    daemon: Daemon,
    /// Whether the node is killed when the thread that started it ends.
    is_mortal: bool,
}

impl Node {
    /// The node of this checkout.
    ///
    /// # Errors
    /// When its home cannot be made.
    pub fn at_home() -> anyhow::Result<Self> {
        Self::at(&dirs::target("kafka")?)
    }

    /// The node whose home is `home`: a cluster of its own, which outlives neither this process nor
    /// the thread that starts it.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn apart(home: &Path) -> anyhow::Result<Self> {
        Ok(Self { is_mortal: true, ..Self::at(home)? })
    }

    /// The node whose home is `home`, which outlives this process.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn at(home: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
        Ok(Self { daemon: Daemon::new("kafka", home), home: home.to_path_buf(), is_mortal: false })
    }

    /// Whether the node runs and answers.
    pub fn is_up(&self) -> bool {
        self.daemon.is_running() && self.ports().is_ok_and(|ports| probe::answers(ports.broker))
    }

    /// Where clients connect, `host:port`; stays the same over restarts unless another program
    /// has taken the port.
    ///
    /// # Errors
    /// When the node never ran.
    pub fn address(&self) -> anyhow::Result<String> {
        Ok(format!("127.0.0.1:{}", self.ports()?.broker))
    }

    /// Where clients connect with TLS, and what they need to know for it.
    ///
    /// # Errors
    /// When the node never ran.
    pub fn secured(&self) -> anyhow::Result<Secured> {
        let Ports { sasl, mutual, .. } = self.ports()?;
        let at = |port: u16| format!("127.0.0.1:{port}");
        Ok(Secured { sasl: at(sasl), mutual: at(mutual), files: self.secure().directory().to_path_buf() })
    }

    /// Starts the node when it does not run, and waits until it answers.
    ///
    /// # Errors
    /// When Kafka cannot be fetched, or does not come up; the message has its last words.
    pub fn start(&self) -> anyhow::Result<()> {
        let _lock = self.lock()?;
        let class_path = class_path()?;
        if self.daemon.is_running() && self.ports().is_err() {
            // An older xtask started it, with fewer listeners.
            self.daemon.stop()?;
        }
        if !self.daemon.is_running() {
            let ports = self.choose_ports()?;
            fs::write(self.home.join("ports"), ports.to_string())?;
            let secure = self.secure();
            secure.make()?;
            write_private(&self.properties_path(), &render(ports, &self.data_dir(), &secure)?)?;
            self.format(&class_path)?;
            let mut java = Command::new("java");
            java.args(["-Xms256m", "-Xmx768m", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]);
            java.arg(self.daemon.mark()).arg(log_settings());
            java.args(["-cp", &class_path, "kafka.Kafka"]).arg(self.properties_path());
            if self.is_mortal {
                java = mortal(&java);
            }
            self.daemon.start(&mut java)?;
        }
        self.wait_until_up()?;
        self.add_user(&class_path)
    }

    /// Stops the node; its data stays.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        let _lock = self.lock()?;
        self.daemon.stop().map(drop)
    }

    /// Ends the node by SIGKILL; its data stays as a crash leaves it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        let _lock = self.lock()?;
        self.daemon.kill().map(drop)
    }

    /// Ends transactions that the broker forgot to end in some of their partitions, like the rest of them. In
    /// how many partitions there were any.
    ///
    /// # Errors
    /// When Apache's tools cannot be run, or the node does not do as it is told.
    pub fn end_hanging(&self) -> anyhow::Result<usize> {
        let found =
            self.transactions(&["find-hanging", "--broker-id", "1", "--max-transaction-timeout", "1"])?;
        let hanging = Hanging::in_lines(&found);
        if hanging.is_empty() {
            return Ok(0);
        }
        let is_state = |name: &str| name.starts_with("__transaction_state-");
        let decisions = Decisions::in_dump(&self.dump("--transaction-log-decoder", is_state)?)?;
        for one in &hanging {
            // Where nothing was decided, nobody was told of success.
            let commits = match decisions.of(one) {
                None => false,
                Some(decision) => {
                    let mut known = None;
                    for (topic, partition) in decision.anchors() {
                        let anchor = format!("{topic}-{partition}");
                        known = decision.known(&self.dump("--deep-iteration", |name| name == anchor)?);
                        if known.is_some() {
                            break;
                        }
                    }
                    known.unwrap_or(decision.commits())
                }
            };
            one.end(self.ports()?.broker, commits)?;
        }
        Ok(hanging.len())
    }

    /// What Apache's tool says of the files of the partitions in the directories for whose names `is_it`
    /// holds. A consumer would wait behind what hangs, and read on for as long as there is more.
    fn dump(&self, how: &str, is_it: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let mut segments = Vec::new();
        for partition in fs::read_dir(self.data_dir())? {
            let partition = partition?.path();
            if partition.file_name().is_some_and(|name| is_it(&name.to_string_lossy())) {
                for file in fs::read_dir(partition)? {
                    segments.push(file?.path().display().to_string());
                }
            }
        }
        segments.retain(|file| file.ends_with(".log"));
        segments.sort();
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-cp", &class_path()?, "org.apache.kafka.tools.DumpLogSegments", how]);
        let files = segments.join(",");
        java.args(["--files", &files]);
        let dump = output(java, &format!("cannot read {files}"))?;
        Ok(String::from_utf8_lossy(&dump).into_owned())
    }

    /// Transactional ids that the broker knows.
    ///
    /// # Errors
    /// When Apache's tool cannot be run.
    pub fn transactional_ids(&self) -> anyhow::Result<Vec<String>> {
        let listed = self.transactions(&["list"])?;
        Ok(listed
            .lines()
            .skip(1)
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .collect())
    }

    /// `kafka-transactions.sh`.
    fn transactions(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut java = Command::new("java");
        java.args(["-Xmx128m", "-cp", &class_path()?, "org.apache.kafka.tools.TransactionsCommand"]);
        java.args(["--bootstrap-server", &self.address()?]).args(arguments);
        Ok(String::from_utf8(output(java, &format!("kafka-transactions {}", arguments.join(" ")))?)?)
    }

    /// Deletes a stopped node's home.
    ///
    /// # Errors
    /// When the node runs, or the files cannot be deleted.
    pub fn wipe(&self) -> anyhow::Result<()> {
        if self.daemon.is_running() {
            bail!("the broker runs: stop it before its data is deleted");
        }
        fs::remove_dir_all(&self.home).with_context(|| format!("cannot delete {}", self.home.display()))
    }

    /// Two xtasks may want the broker at the same time; one of them starts it.
    fn lock(&self) -> anyhow::Result<File> {
        let path = self.home.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    fn wait_until_up(&self) -> anyhow::Result<()> {
        let end = Instant::now() + START_WAIT;
        while !self.is_up() {
            if !self.daemon.is_running() {
                bail!("the broker ended while it started:\n{}", self.last_words());
            }
            if Instant::now() > end {
                bail!("no answer within {} s; see {}", START_WAIT.as_secs(), self.log_path().display());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// KRaft wants its directory prepared once.
    fn format(&self, class_path: &str) -> anyhow::Result<()> {
        if self.data_dir().join("meta.properties").exists() {
            return Ok(());
        }
        let mut java = Command::new("java");
        java.args(["-cp", class_path, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
        java.arg(self.properties_path());
        output(java, "cannot format the broker's storage").map(drop)
    }

    /// Gives the SCRAM listener its user, once: also in a home that was formatted before there was one.
    fn add_user(&self, class_path: &str) -> anyhow::Result<()> {
        let secure = self.secure();
        if secure.user_added().exists() {
            return Ok(());
        }
        let mut java = Command::new("java");
        java.args(["-Xmx128m", "-cp", class_path, "kafka.admin.ConfigCommand"]);
        java.args(["--bootstrap-server", &self.address()?, "--alter", "--entity-type", "users"]);
        java.args(["--entity-name", USER, "--add-config-file"]).arg(secure.scram());
        output(java, "cannot add the broker's user")?;
        write_private(&secure.user_added(), "")
    }

    fn secure(&self) -> Secure {
        Secure::at(&self.home)
    }

    fn ports(&self) -> anyhow::Result<Ports> {
        let path = self.home.join("ports");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?.parse()
    }

    /// The ports of the last start, so that clients find a restarted broker again, else free ones.
    fn choose_ports(&self) -> anyhow::Result<Ports> {
        if let Ok(ports) = self.ports()
            && [ports.broker, ports.sasl, ports.mutual, ports.controller].into_iter().all(is_free)
        {
            return Ok(ports);
        }
        // Each is held until all are known, so that they differ.
        let mut held = Vec::new();
        let mut free = || {
            let listener = TcpListener::bind(LOOPBACK)?;
            let port = listener.local_addr()?.port();
            held.push(listener);
            Ok::<_, std::io::Error>(port)
        };
        Ok(Ports { broker: free()?, sasl: free()?, mutual: free()?, controller: free()? })
    }

    fn last_words(&self) -> String {
        let mut words = fs::read_to_string(self.daemon.output_path()).unwrap_or_default();
        if words.trim().is_empty() {
            words = fs::read_to_string(self.log_path()).unwrap_or_default();
        }
        let lines: Vec<&str> = words.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    fn properties_path(&self) -> PathBuf {
        self.home.join("server.properties")
    }

    fn log_path(&self) -> PathBuf {
        self.home.join("server.log")
    }
}

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// The standard library binds with SO_REUSEADDR: connections of the last run do not count.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The directory with the jars of Apache Kafka.
///
/// # Errors
/// When they cannot be fetched.
pub fn jars() -> anyhow::Result<PathBuf> {
    maven::fetch("kafka", &dev_file("pom.xml"), "copy-dependencies")
}

fn class_path() -> anyhow::Result<String> {
    Ok(format!("{}/*", jars()?.display()))
}

fn log_settings() -> String {
    format!("-Dlog4j2.configurationFile={}", dev_file("log4j2.properties").display())
}

fn dev_file(name: &str) -> PathBuf {
    dirs::workspace().join("dev/kafka").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(home: &Path) -> Node {
        Node::at(home).unwrap()
    }

    #[test]
    fn a_node_that_never_ran_has_no_address_and_is_not_up() {
        let home = tempfile::tempdir().unwrap();
        assert!(node(home.path()).address().is_err());
        assert!(!node(home.path()).is_up());
    }

    #[test]
    fn a_restarted_node_keeps_its_ports_unless_one_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let node = node(home.path());
        let first = node.choose_ports().unwrap();
        assert_ne!(first.broker, first.controller);
        fs::write(node.home.join("ports"), first.to_string()).unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.controller)).unwrap();
        assert_ne!(node.choose_ports().unwrap(), first);
        drop(taken);
        assert_eq!(node.choose_ports().unwrap(), first);
    }

    #[test]
    fn the_ports_of_a_node_from_before_it_had_tls_count_as_none() {
        let home = tempfile::tempdir().unwrap();
        let node = node(home.path());
        fs::write(node.home.join("ports"), "9092 9093").unwrap();
        assert!(node.address().is_err() && node.choose_ports().is_ok());
    }

    #[test]
    fn only_the_end_of_a_long_log_is_quoted() {
        let home = tempfile::tempdir().unwrap();
        let node = node(home.path());
        let lines: Vec<String> = (1..=100).map(|line| format!("line {line}")).collect();
        fs::write(node.log_path(), lines.join("\n")).unwrap();
        let words = node.last_words();
        assert!(words.starts_with("line 86\n") && words.ends_with("line 100"), "{words}");
    }
}
