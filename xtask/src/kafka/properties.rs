//! The broker's configuration: the committed part, and what differs from checkout to checkout.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

const COMMITTED: &str = include_str!("../../../dev/kafka/server.properties");

/// The two loopback ports of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Where clients connect.
    pub broker: u16,
    /// Where the node talks to its own controller.
    pub controller: u16,
}

impl fmt::Display for Ports {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.broker, self.controller)
    }
}

impl FromStr for Ports {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            [broker, controller] => Ok(Self { broker: broker.parse()?, controller: controller.parse()? }),
            _ => anyhow::bail!("not two ports: {text:?}"),
        }
    }
}

/// The whole `server.properties`.
pub fn render(ports: Ports, data_dir: &Path) -> String {
    format!("{COMMITTED}\n{}", here(ports, data_dir))
}

fn here(ports: Ports, data_dir: &Path) -> String {
    let Ports { broker, controller } = ports;
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{broker}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         log.dirs={}\n",
        data_dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const PORTS: Ports = Ports { broker: 9092, controller: 9093 };

    #[test]
    fn a_node_listens_on_loopback_alone() {
        expect![[r#"
            listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
            advertised.listeners=PLAINTEXT://127.0.0.1:9092
            controller.quorum.voters=1@127.0.0.1:9093
            log.dirs=/a/data
        "#]]
        .assert_eq(&here(PORTS, Path::new("/a/data")));
    }

    #[test]
    fn no_property_is_set_twice() {
        let rendered = render(PORTS, Path::new("/a/data"));
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
        for broken in ["", "9092", "9092 9093 9094", "9092 x", "9092 99999"] {
            assert!(broken.parse::<Ports>().is_err(), "{broken:?}");
        }
    }
}
