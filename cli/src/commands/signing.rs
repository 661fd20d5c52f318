//! Whose key signs what others are given.

use std::path::{Path, PathBuf};

/// Where the operator's key is.
#[derive(clap::Args)]
pub struct SignFlags {
    /// Directory of the role operator, whose key signs; keys_dir is the auditor's
    #[arg(long, value_name = "DIR")]
    sign_keys: Option<PathBuf>,
}

impl SignFlags {
    /// The directory that was given.
    pub fn directory(&self) -> Option<&Path> {
        self.sign_keys.as_deref()
    }
}
