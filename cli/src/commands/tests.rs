//! The command line as a whole.

use super::CommandLine;
use clap::{Command, CommandFactory as _};

/// Every command and its subcommands, by the words that name it.
fn each(command: &Command, words: &str, visit: &mut impl FnMut(&str, &Command)) {
    visit(words, command);
    for inner in command.get_subcommands() {
        each(inner, &format!("{words} {}", inner.get_name()), visit);
    }
}

#[test]
fn the_command_line_does_not_contradict_itself() {
    CommandLine::command().debug_assert();
}

#[test]
fn every_command_and_argument_says_what_it_is_for() {
    each(&CommandLine::command(), "weir", &mut |words, command| {
        assert!(command.get_about().is_some(), "{words} has no help");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{words}: {} has no help", argument.get_id());
        }
    });
}

#[test]
fn every_key_is_a_flag_of_some_command() {
    let mut flags = std::collections::BTreeSet::new();
    each(&CommandLine::command(), "weir", &mut |_, command| {
        flags.extend(command.get_arguments().map(|argument| argument.get_id().to_string()));
    });
    for key in crate::settings::KEYS {
        assert!(flags.contains(key.name), "no command takes --{}", key.flag());
    }
}
