//! The destinations that the settings name.

use crate::context::Context;
use crate::settings::SiemFormat;
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use weir_enforcer::siem::destination::files::{FilesDestination, Keeping};
use weir_enforcer::siem::destination::{Destination, DestinationKind};
use weir_enforcer::siem::format::Format;

/// A destination, and what is needed to make it, as often as the exporter starts over.
pub enum Choice {
    /// Files of this machine.
    Files {
        /// Where.
        directory: PathBuf,
        /// How their lines are written.
        format: Format,
        /// How many there are.
        keeping: Keeping,
    },
}

impl Choice {
    /// Its kind.
    pub fn kind(&self) -> DestinationKind {
        match self {
            Self::Files { .. } => DestinationKind::Files,
        }
    }

    /// Makes it.
    pub fn make(&self) -> Result<Box<dyn Destination>> {
        match self {
            Self::Files { directory, format, keeping } => {
                let shown = directory.display();
                let opened = FilesDestination::open(directory, *format, *keeping)
                    .with_context(|| format!("export.files_dir {shown} cannot be used"))?;
                let files = opened.with_context(|| {
                    format!("another process writes export.files_dir {shown}: give each its own")
                })?;
                Ok(Box::new(files))
            }
        }
    }
}

/// Those that the settings name.
pub fn chosen(context: &Context) -> Result<Vec<Choice>> {
    let settings = &context.settings;
    let mut choices = Vec::new();
    if let Some(directory) = &settings.export_files_dir {
        let (bytes_max, kept) = (settings.export_files_bytes_max, settings.export_files_kept);
        choices.push(Choice::Files {
            directory: directory.clone(),
            format: format(settings.export_files_format),
            keeping: Keeping { bytes_max, kept },
        });
    }
    Ok(choices)
}

fn format(format: SiemFormat) -> Format {
    match format {
        SiemFormat::Json => Format::Json,
        SiemFormat::Csv => Format::Csv,
        SiemFormat::Cef => Format::Cef,
        SiemFormat::Leef => Format::Leef,
        SiemFormat::Ocsf => Format::Ocsf,
        SiemFormat::Ecs => Format::Ecs,
    }
}
