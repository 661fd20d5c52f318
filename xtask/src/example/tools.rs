//! What the example needs on the machine: nginx, curl, Node, and the openai SDK in a venv.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::debian::ensure_debian_packages;
use crate::venv;

const REQUIREMENTS: &str = include_str!("../../example/requirements.txt");
const LUA_MODULES: [&str; 2] =
    ["/usr/lib/nginx/modules/ndk_http_module.so", "/usr/lib/nginx/modules/ngx_http_lua_module.so"];

/// The programs, found or installed.
pub struct Tools {
    pub nginx: PathBuf,
    /// The venv's interpreter, which has the openai SDK.
    pub python: PathBuf,
    /// The modules that nginx must load for the header order.
    pub lua_modules: [&'static str; 2],
}

impl Tools {
    /// Finds every tool, installing the ones that are missing.
    ///
    /// # Errors
    /// Names the tool that is missing and could not be installed.
    pub fn ensure() -> anyhow::Result<Self> {
        // nginx is in /usr/sbin, which is not on every user's path.
        let nginx = PathBuf::from("/usr/sbin/nginx");
        let mut missing = Vec::new();
        if !nginx.exists() {
            missing.push("nginx");
        }
        if !LUA_MODULES.iter().all(|module| Path::new(module).exists()) {
            missing.push("libnginx-mod-http-lua");
        }
        if !answers("curl", &["--version"]) {
            missing.push("curl");
        }
        if !answers("node", &["--version"]) {
            missing.push("nodejs");
        }
        if !answers("python3", &["-c", "import venv, ensurepip"]) {
            missing.push("python3-venv");
        }
        if !missing.is_empty() {
            ensure_debian_packages(&missing)?;
        }
        if !answers("node", &["-e", "process.exit(typeof fetch === 'function' ? 0 : 1)"]) {
            bail!("this Node has no fetch of its own: install Node 18 or later");
        }
        Ok(Self { nginx, python: venv::python("example-venv", REQUIREMENTS)?, lua_modules: LUA_MODULES })
    }
}

fn answers(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started or its status is not zero.
pub fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
