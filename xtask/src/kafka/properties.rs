//! The broker's configuration: the committed part, and what differs from checkout to checkout.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::secure::{Secure, USER};

const COMMITTED: &str = include_str!("../../../dev/kafka/server.properties");

/// The loopback ports of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Where clients connect in plain text.
    pub broker: u16,
    /// Where they connect with TLS and a password.
    pub sasl: u16,
    /// Where they connect with TLS and a certificate of their own.
    pub mutual: u16,
    /// Where the node talks to its own controller.
    pub controller: u16,
}

impl fmt::Display for Ports {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {} {}", self.broker, self.sasl, self.mutual, self.controller)
    }
}

impl FromStr for Ports {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            [broker, sasl, mutual, controller] => Ok(Self {
                broker: broker.parse()?,
                sasl: sasl.parse()?,
                mutual: mutual.parse()?,
                controller: controller.parse()?,
            }),
            _ => anyhow::bail!("not four ports: {text:?}"),
        }
    }
}

/// The whole `server.properties`. It holds a password.
///
/// # Errors
/// When the password cannot be read.
pub fn render(ports: Ports, data_dir: &Path, secure: &Secure) -> anyhow::Result<String> {
    let listening = here(ports, data_dir);
    Ok(format!("{COMMITTED}\n{listening}{}", secured(secure, &secure.password()?)))
}

fn here(ports: Ports, data_dir: &Path) -> String {
    let Ports { broker, sasl, mutual, controller } = ports;
    let clients =
        format!("PLAINTEXT://127.0.0.1:{broker},SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual}");
    format!(
        "listeners={clients},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={clients}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         log.dirs={}\n",
        data_dir.display()
    )
}

fn secured(secure: &Secure, password: &str) -> String {
    const MODULES: &str = "org.apache.kafka.common.security";
    format!(
        "ssl.keystore.location={}\n\
         ssl.truststore.location={}\n\
         listener.name.sasl.plain.sasl.jaas.config=\
         {MODULES}.plain.PlainLoginModule required user_{USER}=\"{password}\";\n\
         listener.name.sasl.scram-sha-512.sasl.jaas.config=\
         {MODULES}.scram.ScramLoginModule required;\n",
        secure.broker().display(),
        secure.ca().display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const PORTS: Ports = Ports { broker: 9092, sasl: 9094, mutual: 9095, controller: 9093 };

    #[test]
    fn a_node_listens_on_loopback_alone() {
        expect![[r#"
            listeners=PLAINTEXT://127.0.0.1:9092,SASL://127.0.0.1:9094,MUTUAL://127.0.0.1:9095,CONTROLLER://127.0.0.1:9093
            advertised.listeners=PLAINTEXT://127.0.0.1:9092,SASL://127.0.0.1:9094,MUTUAL://127.0.0.1:9095
            controller.quorum.voters=1@127.0.0.1:9093
            log.dirs=/a/data
        "#]]
        .assert_eq(&here(PORTS, Path::new("/a/data")));
    }

    #[test]
    fn no_property_is_set_twice() {
        let home = Path::new("/a");
        let rendered =
            format!("{COMMITTED}\n{}{}", here(PORTS, &home.join("data")), secured(&Secure::at(home), "p"));
        let mut names: Vec<&str> = rendered
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn ports_are_read_as_they_were_written() {
        assert_eq!(PORTS.to_string().parse::<Ports>().unwrap(), PORTS);
        for broken in ["", "9092", "9092 9093", "9092 9094 9095 x", "9092 9094 9095 99999"] {
            assert!(broken.parse::<Ports>().is_err(), "{broken:?}");
        }
    }
}
