//! `weir keys`: the keys of a deployment, and of its persons.

use crate::context::Context;
use crate::fast_path::keys_file;
use crate::keys::{self, Role};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::ExitCode;
use weir_schemas::hex::hex;

/// Makes the keys that are missing in `directory`, which gets a directory for each role.
pub fn make(directory: &Path) -> Result<ExitCode> {
    let made = keys::make(directory)?;
    let shown = directory.display();
    match made {
        true => print_line!(
            "Made keys in {shown}: give each role its own directory and no other, and back {shown}/enforcer up."
        ),
        false => print_line!("The keys in {shown} are all there; nothing was changed."),
    }
    let (audit, sign) = keys::public_halves(directory)?;
    print_line!("The audit chains are signed; their public key is {audit}");
    print_line!("Statements (`weir coverage`) are signed; their public key is {sign}");
    Ok(ExitCode::SUCCESS)
}

/// Reads the keys of `role` as it would when it starts, and says which there are.
pub fn check(context: &Context, role: Role) -> Result<ExitCode> {
    let names = keys::check(&context.given_keys(role)?, role)?;
    print_line!("The role {role} has the keys that it needs and no secret beside them: {}", names.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// Makes a key for alerts in `file`, which may be there.
pub fn fastpath(file: &Path, senders: &[String], role: weir_fastpath::Role, days: u16) -> Result<ExitCode> {
    let id = keys_file::make(file, senders, role, days)?;
    let shown = file.display();
    print_line!(
        "Made key {id} in {shown}, a {}'s, for {} and {days} days.",
        role.as_str(),
        senders.join(", ")
    );
    print_line!(
        "Give the file to the decision servers first, and then to these nodes: both read it again by themselves."
    );
    Ok(ExitCode::SUCCESS)
}

/// Makes a person's key, and prints its public half.
pub fn person(file: &Path) -> Result<ExitCode> {
    match keys::make_person(file)? {
        Some(public) => print_line!("{}", hex(&public)),
        None => bail!("{} is there already, and is left as it is", file.display()),
    }
    Ok(ExitCode::SUCCESS)
}
