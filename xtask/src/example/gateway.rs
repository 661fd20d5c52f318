//! A real nginx with a private prefix on a free loopback port, in front of the model stub.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::accounts::Accounts;
use super::clients;
use super::plan::{self, Driven, Profile};
use super::stub::LlmStub;
use super::tools::{Tools, succeed};
use crate::dirs;

const TEMPLATE: &str = include_str!("../../example/nginx.conf.template");
const PATIENCE: Duration = Duration::from_secs(10);
/// Another process may take the free port before nginx does; so many ports are tried.
const PORTS_TRIED: usize = 5;

/// nginx and the stub, running; both stop when this is dropped.
pub struct LiveGateway {
    /// The log in the `weir_rich` format, the one of examples/access.jsonl.
    pub log_path: PathBuf,
    /// The same requests in the `weir_basic` format.
    pub basic_log_path: PathBuf,
    /// The same requests in the `weir_basic_auth` format.
    pub basic_auth_log_path: PathBuf,
    /// Where clients send their requests, e.g. `http://127.0.0.1:40123`.
    pub base_url: String,
    accounts: Accounts,
    tools: Tools,
    // Fields drop in order: nginx ends before the stub that it talks to.
    nginx: Nginx,
    _stub: LlmStub,
}

impl LiveGateway {
    /// Starts a gateway whose files are all in `dir`, an existing directory; installs what is missing.
    ///
    /// # Errors
    /// Says which tool is missing, or what nginx wrote when it did not come up.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let tools = Tools::ensure()?;
        let accounts = Accounts::load()?;
        let stub = LlmStub::start(accounts.facts())?;
        let dir = dir.canonicalize().with_context(|| format!("{}", dir.display()))?;
        let mut tried = 1;
        let nginx = loop {
            match Nginx::start(&dir, &tools, stub.address) {
                Err(error) if tried == PORTS_TRIED => return Err(error),
                Err(_) => tried += 1,
                Ok(nginx) => break nginx,
            }
        };
        Ok(Self {
            log_path: dir.join("access.jsonl"),
            basic_log_path: dir.join("basic.jsonl"),
            basic_auth_log_path: dir.join("basic_auth.jsonl"),
            base_url: format!("http://{}", nginx.address),
            accounts,
            tools,
            nginx,
            _stub: stub,
        })
    }

    /// Sends a profile's requests with curl, Node and the openai SDK; returns when all are answered.
    ///
    /// # Errors
    /// Names the keys whose requests failed.
    pub fn drive(&self, profile: &Profile) -> anyhow::Result<Driven> {
        let groups = plan::plan(&self.accounts, profile);
        clients::send(&groups, &self.base_url, &self.tools.python)?;
        Ok(plan::driven(&groups))
    }

    /// Rotates the rich log as logrotate does: renames it, then tells nginx to open a new one.
    ///
    /// The worker follows a moment after the master: until then it still writes to the renamed file.
    ///
    /// # Errors
    /// When the log cannot be renamed or nginx does not open a new one.
    pub fn rotate(&self, to: &Path) -> anyhow::Result<()> {
        fs::rename(&self.log_path, to)
            .with_context(|| format!("cannot rename {}", self.log_path.display()))?;
        self.nginx.signal("USR1")?;
        wait_until("nginx to open a new log", || self.log_path.exists())
    }
}

struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start(dir: &Path, tools: &Tools, stub: SocketAddr) -> anyhow::Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port")?;
        let address = free.local_addr().context("no loopback port")?;
        drop(free);
        let conf = dir.join("nginx.conf");
        fs::write(&conf, configuration(dir, tools, stub.port(), address.port())?)
            .with_context(|| format!("cannot write {}", conf.display()))?;
        let errors = dir.join("error.log");
        let mut command = Command::new(&tools.nginx);
        command.arg("-p").arg(dir).arg("-c").arg(&conf).arg("-e").arg(&errors);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut nginx = Self { child, address };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = nginx.child.try_wait().context("nginx")?;
            if ended.is_some() || Instant::now() > deadline {
                let why = fs::read_to_string(&errors).unwrap_or_default();
                bail!("nginx did not come up on {address}: {why}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(nginx)
    }

    fn signal(&self, name: &str) -> anyhow::Result<()> {
        succeed(Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A child that has ended and been waited for no longer owns its pid.
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // TERM lets the master end its worker; the kill is for a master that does not listen.
        let asked = self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        while asked.is_ok() && Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn configuration(dir: &Path, tools: &Tools, stub_port: u16, port: u16) -> anyhow::Result<String> {
    let deploy = dirs::workspace().join("deploy/nginx");
    let load_modules = tools.lua_modules.map(|module| format!("load_module {module};")).join("\n");
    let values = [
        ("@LOAD_MODULES@", load_modules),
        ("@USER@", user()?),
        ("@DIR@", dir.display().to_string()),
        ("@DEPLOY@", deploy.display().to_string()),
        ("@STUB_PORT@", stub_port.to_string()),
        ("@PORT@", port.to_string()),
    ];
    Ok(values.iter().fold(TEMPLATE.to_owned(), |text, (name, value)| text.replace(name, value)))
}

/// Workers that root starts would change to a user who cannot enter a private directory.
fn user() -> anyhow::Result<String> {
    let id = |flag| -> anyhow::Result<String> {
        let output = Command::new("id").arg(flag).output().context("cannot run id")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Ok(if id("-u")? == "0" { format!("user {} {};", id("-un")?, id("-gn")?) } else { String::new() })
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > deadline {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
