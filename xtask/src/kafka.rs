//! The Kafka broker that tests, bench and chaos run against.
//!
//! With `WEIR_BROKERS` set it is somebody else's and is only pointed at. Otherwise Apache Kafka
//! is fetched with Maven and runs as one KRaft node on loopback, with its data under
//! `target/kafka`; it outlives the xtask that started it, until `cargo xtask kafka down`.

mod hanging;
mod node;
mod probe;
mod properties;
mod secure;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Subcommand;

use node::Node;
pub use node::jars;

/// Names the brokers to use instead of one that xtask starts: `host:port,host:port`.
pub const BROKERS_VAR: &str = "WEIR_BROKERS";

/// Name the listeners of the same broker that want a password or a certificate over TLS, and the
/// directory with what their clients need: for tests of the client's security alone.
const SECURE_VARS: [&str; 3] = ["WEIR_TEST_BROKERS_SASL", "WEIR_TEST_BROKERS_MUTUAL", "WEIR_TEST_SECURE_DIR"];

#[derive(clap::Args)]
pub struct Args {
    /// A broker of its own, with its home there, whatever broker is named: for tests that kill it
    #[arg(long, value_name = "DIR", global = true)]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the broker and wait until it answers; nothing to do when it already does
    Up,
    /// Stop the broker; its data stays for the next `up`
    Down {
        /// End it by SIGKILL, as a crash would
        #[arg(long)]
        kill: bool,
        /// Delete its data and logs too
        #[arg(long)]
        wipe: bool,
    },
    /// Stop the broker and start it again on the same ports and data
    Restart {
        /// End it by SIGKILL, as a crash would
        #[arg(long)]
        kill: bool,
    },
    /// Print the lines that point a shell at the broker: eval "$(cargo xtask kafka env)"
    Env,
}

/// `cargo xtask kafka ...`
///
/// # Errors
/// When the broker cannot be fetched, started or stopped, or is not ours to stop.
pub fn run(args: Args) -> anyhow::Result<()> {
    let up = || match &args.home {
        Some(home) => of_node(Node::at(home)?),
        None => up(),
    };
    match args.command {
        Command::Up => println!("{BROKERS_VAR}={}", up()?.brokers),
        Command::Down { kill, wipe } => down(args.home.as_deref(), kill, wipe)?,
        Command::Restart { kill } => {
            let broker = up()?;
            if kill {
                broker.kill()?
            } else {
                broker.stop()?
            }
            broker.start()?;
            println!("{} is back", broker.brokers);
        }
        Command::Env => match running()? {
            Some(brokers) => {
                println!("export {BROKERS_VAR}={brokers}");
                for (name, value) in secure_surroundings()? {
                    println!("export {name}={value}");
                }
            }
            None => bail!("no broker runs: start one with `cargo xtask kafka up`"),
        },
    }
    Ok(())
}

/// A broker that answers.
pub struct Broker {
    /// The bootstrap addresses, `host:port,host:port`.
    pub brokers: String,
    /// Ours to stop and start; none when `WEIR_BROKERS` names another's.
    node: Option<Node>,
}

impl Broker {
    /// Stops the broker as an operator would, with its data kept.
    ///
    /// # Errors
    /// When it is not ours, or does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.ours()?.stop()
    }

    /// Ends the broker by SIGKILL.
    ///
    /// # Errors
    /// When it is not ours, or does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.ours()?.kill()
    }

    /// Starts the broker again on its ports and data, and waits until it answers.
    ///
    /// # Errors
    /// When it is not ours, or does not come up.
    pub fn start(&self) -> anyhow::Result<()> {
        self.ours()?.start()
    }

    /// Ends transactions that hang, as the rest of them was. In how many partitions there were any.
    ///
    /// # Errors
    /// When it is not ours, or cannot be told.
    pub fn end_hanging(&self) -> anyhow::Result<usize> {
        self.ours()?.end_hanging()
    }

    /// Transactional ids that it knows.
    ///
    /// # Errors
    /// When it is not ours, or cannot be told.
    pub fn transactional_ids(&self) -> anyhow::Result<Vec<String>> {
        self.ours()?.transactional_ids()
    }

    fn ours(&self) -> anyhow::Result<&Node> {
        match &self.node {
            Some(node) => Ok(node),
            None => bail!(
                "{} comes from {BROKERS_VAR} and is not ours to stop: unset it to use a broker of our own",
                self.brokers
            ),
        }
    }
}

/// What tests of the client's security find in their environment. Of a broker that `WEIR_BROKERS` names it is
/// what its operator has set.
///
/// # Errors
/// When our own node never ran.
pub fn secure_surroundings() -> anyhow::Result<Vec<(&'static str, String)>> {
    if named().is_some() {
        return Ok(SECURE_VARS
            .into_iter()
            .filter_map(|name| Some((name, std::env::var(name).ok()?)))
            .collect());
    }
    let secured = Node::at_home()?.secured()?;
    let values = [secured.sasl, secured.mutual, secured.files.display().to_string()];
    Ok(SECURE_VARS.into_iter().zip(values).collect())
}

/// A broker to work with: the one `WEIR_BROKERS` names, else our own, started when it is down.
///
/// # Errors
/// When the broker cannot be fetched or started.
pub fn up() -> anyhow::Result<Broker> {
    if let Some(brokers) = named() {
        eprintln!("{BROKERS_VAR} is set: nothing to start");
        return Ok(Broker { brokers, node: None });
    }
    of_node(Node::at_home()?)
}

/// The same; where it was not up, with nothing of earlier runs in it. Every run leaves its topics there, and
/// with thousands of them a broker does not start in time.
///
/// # Errors
/// When the broker cannot be fetched, emptied or started.
pub fn up_anew() -> anyhow::Result<Broker> {
    if named().is_none() {
        let node = Node::at_home()?;
        if !node.is_up() {
            node.wipe()?;
        }
    }
    up()
}

fn of_node(node: Node) -> anyhow::Result<Broker> {
    if node.is_up() {
        eprintln!("already up");
    }
    // Also where it is up: one start may have been cut short.
    node.start()?;
    Ok(Broker { brokers: node.address()?, node: Some(node) })
}

/// A broker of the caller's own with its home at `home`, started: to be restarted without disturbing
/// anybody, and stopped by the caller.
///
/// # Errors
/// When the broker cannot be fetched or started.
pub fn apart(home: &Path) -> anyhow::Result<Broker> {
    let node = Node::apart(home)?;
    node.start()?;
    Ok(Broker { brokers: node.address()?, node: Some(node) })
}

fn down(home: Option<&Path>, kill: bool, wipe: bool) -> anyhow::Result<()> {
    let node = match home {
        Some(home) => Node::at(home)?,
        None if named().is_some() => bail!("{BROKERS_VAR} is set: that broker is not ours to stop"),
        None => Node::at_home()?,
    };
    if kill {
        node.kill()?
    } else {
        node.stop()?
    }
    if wipe { node.wipe() } else { Ok(()) }
}

/// The brokers that answer, where any do.
///
/// # Errors
/// When the state of our own node cannot be told.
pub fn running() -> anyhow::Result<Option<String>> {
    if let Some(brokers) = named() {
        return Ok(Some(brokers));
    }
    let node = Node::at_home()?;
    if node.is_up() { node.address().map(Some) } else { Ok(None) }
}

fn named() -> Option<String> {
    std::env::var(BROKERS_VAR).ok().filter(|brokers| !brokers.is_empty())
}
