//! The schema registry that one test uses: Apicurio, which others wrote, on loopback.
//!
//! It speaks the Confluent protocol and keeps its schemas in memory: each start is empty.

mod read;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Subcommand;

use crate::daemon::Daemon;
use crate::{dirs, kafka, maven};

pub use read::read;

const JAR: &str = "apicurio-registry-app-2.6.13.Final-runner.jar";
/// Where the Confluent protocol begins.
const CONFLUENT_PATH: &str = "/apis/ccompat/v7";
/// How long a start may take on a busy machine.
const START_WAIT: Duration = Duration::from_secs(120);
const ANSWER_WAIT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the registry and print its address; nothing to do when it already answers
    Up,
    /// Stop the registry; its schemas are gone
    Down,
    /// Print a topic's values as JSON lines, read by kcat and decoded through the registry
    Read { topic: String },
}

/// `cargo xtask registry ...`
///
/// # Errors
/// When the registry cannot be fetched, started or stopped.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Up => {
            let mut registry = up()?;
            registry.stops_on_drop = false;
            println!("{}", registry.url);
        }
        Command::Down => {
            daemon(&home()?).stop()?;
        }
        Command::Read { topic } => {
            for value in read(&kafka::up()?.brokers, &topic, &up()?.url)? {
                println!("{value}");
            }
        }
    }
    Ok(())
}

/// A registry that answers. One that was started for this value ends with it.
pub struct Registry {
    /// What a client is configured with, as `schema.registry.url`.
    pub url: String,
    daemon: Daemon,
    stops_on_drop: bool,
}

impl Drop for Registry {
    fn drop(&mut self) {
        if self.stops_on_drop
            && let Err(error) = self.daemon.stop()
        {
            eprintln!("{error:#}");
        }
    }
}

/// The registry that runs, else one that is started now and ends when the value is dropped.
///
/// # Errors
/// When it cannot be fetched, or does not come up.
pub fn up() -> anyhow::Result<Registry> {
    let home = home()?;
    let daemon = daemon(&home);
    if let Some(port) = last_port(&home)
        && daemon.is_running()
        && answers(port)
    {
        return Ok(Registry { url: url(port), daemon, stops_on_drop: false });
    }
    // What runs and does not answer is of no use.
    daemon.stop()?;
    let program = maven::fetch("registry", &pom(), "unpack-dependencies")?;
    let port = free_port()?;
    fs::write(home.join("port"), port.to_string())?;
    let mut java = Process::new("java");
    java.args(["-Xmx384m", "-Dquarkus.http.host=127.0.0.1"]).arg(format!("-Dquarkus.http.port={port}"));
    java.arg(daemon.mark()).arg("-jar").arg(program.join(JAR));
    daemon.start(&mut java)?;
    let registry = Registry { url: url(port), daemon, stops_on_drop: true };
    wait_until_it_answers(&registry.daemon, port)?;
    Ok(registry)
}

fn wait_until_it_answers(daemon: &Daemon, port: u16) -> anyhow::Result<()> {
    let end = Instant::now() + START_WAIT;
    while !answers(port) {
        let output = daemon.output_path();
        if !daemon.is_running() {
            bail!("the registry ended while it started; see {}", output.display());
        }
        if Instant::now() > end {
            bail!("no answer within {} s; see {}", START_WAIT.as_secs(), output.display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn answers(port: u16) -> bool {
    subjects(port)
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200"))
}

/// Asks which subjects there are, as a client would.
fn subjects(port: u16) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WAIT)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    write!(stream, "GET {CONFLUENT_PATH}/subjects HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}{CONFLUENT_PATH}")
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn last_port(home: &Path) -> Option<u16> {
    fs::read_to_string(home.join("port")).ok()?.trim().parse().ok()
}

fn home() -> anyhow::Result<PathBuf> {
    dirs::target("registry").context("no home for the registry")
}

fn daemon(home: &Path) -> Daemon {
    Daemon::new("registry", home)
}

fn pom() -> PathBuf {
    dirs::workspace().join("dev/kafka/registry/pom.xml")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;
    use expect_test::expect;

    #[test]
    fn a_client_is_given_the_confluent_protocol() {
        expect!["http://127.0.0.1:8081/apis/ccompat/v7"].assert_eq(&url(8081));
    }

    #[test]
    fn the_jar_that_is_run_is_the_version_that_the_pom_pins() {
        let pom = fs::read_to_string(pom()).unwrap();
        let version = pom.split("<registry.version>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
        assert_eq!(JAR, format!("apicurio-registry-app-{version}-runner.jar"));
    }

    #[test]
    fn only_the_right_status_is_an_answer() {
        for (status, wanted) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = server.local_addr().unwrap().port();
            let served = std::thread::spawn(move || {
                let (mut stream, _) = server.accept().unwrap();
                // The whole head: a client may send it in pieces, and is cut off by bytes left unread.
                let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
                let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
                assert!(head[0].starts_with("GET /apis/ccompat/v7/subjects "), "{head:?}");
                write!(stream, "HTTP/1.1 {status}\r\n\r\n[]").unwrap();
            });
            assert_eq!(answers(port), wanted, "{status}");
            served.join().unwrap();
        }
    }
}
