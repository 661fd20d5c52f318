//! podman with settings, a storage and a place for what runs of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, getrlimit};

use crate::dirs;
use crate::shell::{output, succeed};

/// Where podman keeps what ends with the machine.
const RUN: &str = "/run/weir-compose";

/// What podman and its helpers would share with another podman of this machine: private to our namespace of
/// mounts.
const PRIVATE: [&str; 5] = [RUN, "/run/containers", "/run/netns", "/run/runc", "/dev/shm"];

/// What podman gives a container of files and processes where it may.
const LIMIT_MAX: u64 = 1_048_576;

/// Runs podman and podman-compose.
pub struct Engine {
    home: PathBuf,
    podman_compose: PathBuf,
}

impl Engine {
    /// Settings under `home`, and private places for what podman would share with another podman of this
    /// machine.
    ///
    /// # Errors
    /// When something cannot be written or mounted.
    pub fn ensure(home: &Path, podman_compose: &Path) -> Result<Self> {
        let engine = Self { home: home.to_path_buf(), podman_compose: podman_compose.to_path_buf() };
        if engine.settings("containers.conf").exists() {
            return Ok(engine);
        }
        for place in PRIVATE {
            fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "tmpfs", place]);
            succeed(mount, "mount")?;
        }
        let shown = home.display();
        fs::write(
            engine.settings("storage.conf"),
            format!(
                "[storage]\ndriver = \"{}\"\nrunroot = \"{RUN}/storage\"\ngraphroot = \"{shown}/storage\"\n",
                engine.driver()?
            ),
        )?;
        // Short names are Docker's, as in Docker.
        fs::write(engine.settings("registries.conf"), "unqualified-search-registries = [\"docker.io\"]\n")?;
        // What a container would get, or what we have where that is less and cannot be raised.
        let limit = |what: Resource| getrlimit(what).maximum.unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
        let (files, processes) = (limit(Resource::Nofile), limit(Resource::Nproc));
        let settings = format!(
            "[containers]\ndefault_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             static_dir = \"{shown}/storage/libpod\"\ntmp_dir = \"{RUN}/libpod\"\nvolume_path = \"{shown}/volumes\"\n\
             image_copy_tmp_dir = \"storage\"\n\
             [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{shown}/networks\"\n"
        );
        fs::write(engine.settings("containers.conf"), settings)?;
        Ok(engine)
    }

    /// `overlay` where it can be mounted, else `vfs`, which copies each layer.
    fn driver(&self) -> Result<&'static str> {
        let place = tempfile::tempdir_in(&self.home)?;
        let at = |name: &str| place.path().join(name);
        for name in ["lower", "upper", "work", "merged"] {
            fs::create_dir(at(name))?;
        }
        let options = ["lower", "upper", "work"].map(|name| format!("{name}dir={}", at(name).display()));
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &options.join(",")]).arg(at("merged"));
        if output(mount, "no overlay").is_err() {
            return Ok("vfs");
        }
        let mut unmount = Command::new("umount");
        unmount.arg(at("merged"));
        succeed(unmount, "umount")?;
        Ok("overlay")
    }

    fn settings(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// A directory of ours that ends with the run.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let dir = self.home.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// `podman ...`
    pub fn podman<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("podman");
        self.surround(command.args(arguments));
        command
    }

    /// `podman-compose ...` on the file that users get.
    pub fn compose(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.podman_compose);
        command.arg("--file").arg(dirs::workspace().join("deploy/compose/docker-compose.yml"));
        // Docker knows by itself that a service that is run by its name is meant.
        if arguments.first() == Some(&"run") {
            command.args(["--profile", "tools"]);
        }
        self.surround(command.args(arguments));
        command
    }

    fn surround(&self, command: &mut Command) {
        command.env("CONTAINERS_CONF", self.settings("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.settings("storage.conf"));
        command.env("CONTAINERS_REGISTRIES_CONF", self.settings("registries.conf"));
        // Timers of the machine's systemd would run outside, and outlive us; health checks are run by hand.
        command.env("DISABLE_HC_SYSTEMD", "true");
        // No other engine and no other project than ours.
        for name in [
            "CONTAINER_HOST",
            "CONTAINER_CONNECTION",
            "DOCKER_HOST",
            "COMPOSE_PROJECT_NAME",
            "COMPOSE_PROFILES",
        ] {
            command.env_remove(name);
        }
    }

    /// Lines that podman answers with.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let answer = output(self.podman(arguments), &format!("podman {}", arguments.join(" ")))?;
        Ok(String::from_utf8(answer)?.trim().to_owned())
    }

    /// The container of a service of the compose file.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn container(&self, service: &str) -> Result<String> {
        let filter = format!("label=com.docker.compose.service={service}");
        let found = self.ask(&["ps", "--all", "--no-trunc", "--filter", &filter, "--format", "{{.ID}}"])?;
        if found.is_empty() || found.contains('\n') {
            bail!("{service} should have one container, and has: {found:?}");
        }
        Ok(found)
    }
}
