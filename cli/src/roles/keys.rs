//! `weir keys make`: the keys of a deployment.

use crate::keys::Keys;
use anyhow::Result;
use std::path::Path;
use std::process::ExitCode;
use weir_replay::coverage::public_key_of;

/// Makes the keys that are missing in `directory`.
pub fn make(directory: &Path) -> Result<ExitCode> {
    let (_, made) = Keys::read_or_make(directory)?;
    let shown = directory.display();
    match made {
        true => println!(
            "Made keys in {shown}. Give every role of the deployment the same ones, and back them up."
        ),
        false => println!("The keys in {shown} are all there; nothing was changed."),
    }
    let public_key = public_key_of(&*Keys::read_sign(directory)?);
    println!("Statements (`weir coverage`) are signed; their public key is {public_key}");
    Ok(ExitCode::SUCCESS)
}
