//! Keys as flags of the commands that make use of them.

use super::declare::FLAG;
use super::{Group, KEYS, Key};
use clap::{Arg, ArgMatches, Command};
use std::marker::PhantomData;

/// The groups of keys that a command takes as flags.
pub trait Takes {
    /// The groups.
    const GROUPS: &'static [Group];
}

/// Says which groups of keys a command takes: `takes!(Keys: Common, Kafka);` makes `Keys`, for [`KeyFlags`].
macro_rules! takes {
    ($name:ident: $($group:ident),+) => {
        /// The keys that this command takes as flags.
        #[derive(Debug, Clone)]
        struct $name;

        impl $crate::settings::flags::Takes for $name {
            const GROUPS: &'static [$crate::settings::Group] = &[$($crate::settings::Group::$group),+];
        }
    };
}

pub(crate) use takes;

/// The keys that were given as flags, among those of the groups `T`.
#[derive(Debug, Clone)]
pub struct KeyFlags<T> {
    given: Vec<(&'static str, String)>,
    groups: PhantomData<T>,
}

impl<T> KeyFlags<T> {
    /// Name and text of each.
    pub fn given(&self) -> &[(&'static str, String)] {
        &self.given
    }
}

fn keys<T: Takes>() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| T::GROUPS.contains(&key.group))
}

fn arg(key: &'static Key) -> Arg {
    let allowed = key.allowed();
    let mut help = key.doc.to_owned();
    if key.range.is_some() || !key.choices.is_empty() {
        help += &format!(" [{allowed}]");
    }
    if !key.default.is_empty() {
        help += &format!(" [default: {}]", key.default);
    }
    let arg = Arg::new(key.name).long(key.flag()).value_name(key.kind).help(help);
    match (key.name, key.kind) {
        ("tail", _) => arg.visible_alias("path"),
        ("output_dir", _) => arg.visible_alias("output"),
        (_, FLAG) => arg.num_args(0..=1).default_missing_value("true"),
        _ => arg,
    }
}

impl<T: Takes> clap::Args for KeyFlags<T> {
    fn augment_args(command: Command) -> Command {
        keys::<T>().fold(command, |command, key| command.arg(arg(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Takes> clap::FromArgMatches for KeyFlags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = keys::<T>().filter_map(|key| {
            let text = matches.try_get_one::<String>(key.name).ok().flatten()?;
            Some((key.name, text.clone()))
        });
        Ok(Self { given: given.collect(), groups: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
