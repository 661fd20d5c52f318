//! `weir audit export` and `weir audit prove`: a chain as a transparency log, and that records are in it, for
//! whoever has no Weir.

use crate::context::Context;
use crate::keys::{KeyStore, Role, read_auditor, read_sign};
use crate::roles::records::each_audit;
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use weir_enforcer::chain::tree::{TILE_WIDTH, Tile, Tree, bundle, checkpoint};
use weir_enforcer::chain::{PublicKeys, Verifier};
use weir_enforcer::export::audit_file::words_of;
use weir_enforcer::kill_switch::PersonKey;
use weir_enforcer::stage::{EVERY_TENANT, chain_writer};
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, ActionId, Audit, AuditEntry, AuditKind};
use weir_topology::history::read_range;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// The name of a chain as a log of others.
fn origin_of(writer: &str) -> String {
    format!("weir/{writer}")
}

/// `weir audit export DIR`: every chain as tiles, with a checkpoint that the operator's key signs.
pub fn export(context: &Context, directory: &Path, sign_keys: Option<&Path>) -> Result<ExitCode> {
    let (keys, secret) = (public_keys(context)?, read_sign(&sign_store(context, sign_keys)?)?);
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let mut entries = 0;
    for partition in 0..log.partitions(Topic::Audit)? {
        let writer = chain_writer(partition);
        let place = directory.join(writer.replace('/', "-"));
        let mut tree = Tree::default();
        read_chain(log.as_ref(), &wire, &keys, partition, |entry| {
            tree.push(&entry);
            Ok(())
        })?;
        if tree.size() == 0 {
            continue;
        }
        // Before anything of what was exported here gives way.
        continues(&place, &tree)?;
        let (mut waiting, mut read) = (Vec::<AuditEntry>::new(), 0);
        read_chain(log.as_ref(), &wire, &keys, partition, |entry| {
            // What was appended meanwhile is for the next export.
            if read < tree.size() {
                read += 1;
                waiting.push(entry);
            }
            if waiting.len() == TILE_WIDTH || (read == tree.size() && !waiting.is_empty()) {
                write_bundle(&place, read, &waiting)?;
                waiting.clear();
            }
            Ok(())
        })?;
        tree.tiles().iter().try_for_each(|tile| write_tile(&place, tile))?;
        // Last, so that whoever reads it finds all that it speaks of.
        let checkpoint = checkpoint(&origin_of(&writer), &tree, &secret);
        write(&place.join("checkpoint"), checkpoint.note.as_bytes())?;
        print_line!("{}: {} entries, root {}", place.display(), tree.size(), tree.root());
        entries += tree.size();
    }
    ensure!(entries > 0, "there is no audit record yet: nothing was exported");
    print_line!("Signed by {}", weir_schemas::hex::hex(&PersonKey::new(&secret).public()));
    Ok(ExitCode::SUCCESS)
}

/// `weir audit export DIR --tenant NAME`: a proof for each chain with all records of this tenant's and nobody
/// else's.
pub fn export_of(
    context: &Context,
    directory: &Path,
    tenant: &str,
    sign_keys: Option<&Path>,
) -> Result<ExitCode> {
    ensure!(
        !tenant.is_empty() && tenant != EVERY_TENANT,
        "give --tenant the name of one tenant: records of all of them are in an export without it"
    );
    ensure_empty(directory)?;
    let (keys, secret) = (public_keys(context)?, read_sign(&sign_store(context, sign_keys)?)?);
    let (log, wire) = (context.existing_log()?, context.wire()?);
    // A word about an account is of no tenant where an enforcer wrote it down that knew nothing of the
    // account.
    let mut accounts = BTreeSet::new();
    for partition in 0..log.partitions(Topic::Audit)? {
        each_audit(log.as_ref(), &wire, partition, |audit| {
            let is_decided = audit.kind == AuditKind::Decision && audit.tenant == tenant;
            accounts.extend(audit.account.filter(|_| is_decided));
        })?;
    }
    let unreadable = Cell::new(0);
    let is_of = |_: &AuditEntry, audit: Option<&Audit>| {
        unreadable.set(unreadable.get() + u64::from(audit.is_none()));
        audit.is_some_and(|audit| {
            let is_its = |account: AccountId| audit.tenant == EVERY_TENANT && accounts.contains(&account);
            audit.tenant == tenant || audit.account.is_some_and(is_its)
        })
    };
    let proofs = proofs_of(log.as_ref(), &wire, &keys, &secret, Chains::All, is_of)?;
    ensure!(
        unreadable.get() == 0,
        "{} audit records are of a schema that this build does not know, and may be of tenant {tenant}: nothing was \
         exported; use the newest build",
        unreadable.get()
    );
    ensure!(!proofs.is_empty(), "there is no audit record of tenant {tenant}: nothing was exported");
    for (writer, proof) in proofs {
        let path = directory.join(format!("{}.json", writer.replace('/', "-")));
        write(&path, format!("{}\n", serde_json::to_string_pretty(&proof)?).as_bytes())?;
        let records = proof["records"].as_array().map_or(0, Vec::len);
        print_line!("{}: {records} records of tenant {tenant}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// What another tenant's records were written to is not handed on with those of this one.
fn ensure_empty(directory: &Path) -> Result<()> {
    match fs::read_dir(directory) {
        Ok(mut entries) => ensure!(
            entries.next().is_none(),
            "{} is not empty: one tenant's records go into a directory of their own",
            directory.display()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", directory.display())),
    }
    Ok(())
}

/// `weir audit prove WRITER:SEQUENCE|ACTION`: the records, the way from each to the root, and the signed
/// root.
pub fn prove(context: &Context, of: &str, out: Option<&Path>, sign_keys: Option<&Path>) -> Result<ExitCode> {
    let wanted = Wanted::parse(of)?;
    let (keys, secret) = (public_keys(context)?, read_sign(&sign_store(context, sign_keys)?)?);
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let is_meant = |entry: &AuditEntry, audit: Option<&Audit>| wanted.is(entry, audit);
    let Some((writer, proof)) =
        proofs_of(log.as_ref(), &wire, &keys, &secret, Chains::Asked, is_meant)?.pop()
    else {
        bail!("no audit record is {of}: give WRITER:SEQUENCE, such as enforcer/0:17, or the id of an action")
    };
    let text = serde_json::to_string_pretty(&proof)?;
    match out {
        Some(path) => {
            write(path, format!("{text}\n").as_bytes())?;
            print_line!("Proved, of {writer}: {}", path.display());
        }
        None => print_line!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Which chains must be sound, and there from their beginning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Chains {
    /// Those that have records which are meant: what is wrong with others is for others to look at.
    Asked,
    /// Every one: what cannot be read of one might be meant.
    All,
}

/// A proof for each chain that has records which are meant, by the chain's name.
pub fn proofs_of(
    log: &dyn Log,
    wire: &Wire,
    keys: &PublicKeys,
    secret: &[u8; 32],
    chains: Chains,
    is_meant: impl Fn(&AuditEntry, Option<&Audit>) -> bool,
) -> Result<Vec<(String, Value)>> {
    let mut proofs = Vec::new();
    for partition in 0..log.partitions(Topic::Audit)? {
        let (mut tree, mut found) = (Tree::default(), Vec::new());
        let chain = read_chain(log, wire, keys, partition, |entry| {
            tree.push(&entry);
            let audit = wire.read::<Audit>(&entry.record).ok();
            if is_meant(&entry, audit.as_ref()) {
                found.push((entry, audit));
            }
            Ok(())
        });
        if chains == Chains::All || !found.is_empty() {
            chain?;
        }
        if !found.is_empty() {
            let writer = chain_writer(partition);
            let proof = proof_of(&writer, &tree, &found, secret)?;
            proofs.push((writer, proof));
        }
    }
    Ok(proofs)
}

fn proof_of(
    writer: &str,
    tree: &Tree,
    found: &[(AuditEntry, Option<Audit>)],
    secret: &[u8; 32],
) -> Result<Value> {
    let paths = tree.paths();
    let records = found.iter().map(|(entry, audit)| -> Result<Value> {
        let index = usize::try_from(entry.sequence - 1)?;
        let path = paths.of(index).context("the record is not in its tree")?;
        Ok(json!({
            "sequence": entry.sequence,
            "previous": BASE64.encode(entry.previous.0),
            "key_id": entry.key_id,
            "record": BASE64.encode(&entry.record),
            "signature": BASE64.encode(entry.signature.0),
            "path": path.iter().map(|hash| BASE64.encode(hash.0)).collect::<Vec<_>>(),
            "says": audit.as_ref().map(|audit| words_of(entry, audit)).transpose()?,
        }))
    });
    let checkpoint = checkpoint(&origin_of(writer), tree, secret);
    Ok(json!({
        "format": "weir.audit.proof/1",
        "writer": writer,
        "size": tree.size(),
        "root": BASE64.encode(tree.root().0),
        "checkpoint": checkpoint.note,
        "checkpoint_signature": BASE64.encode(checkpoint.signature.0),
        "records": records.collect::<Result<Vec<_>>>()?,
    }))
}

/// Which records are meant.
enum Wanted {
    Place(String, i64),
    OfAction(ActionId),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self> {
        if let Some((writer, sequence)) = text.rsplit_once(':')
            && let Ok(sequence) = sequence.parse()
        {
            return Ok(Self::Place(writer.to_owned(), sequence));
        }
        let action = text.parse().ok().map(Self::OfAction);
        action.with_context(|| format!("{text:?} is neither WRITER:SEQUENCE nor the id of an action"))
    }

    fn is(&self, entry: &AuditEntry, audit: Option<&Audit>) -> bool {
        match self {
            Self::Place(writer, sequence) => entry.writer == *writer && entry.sequence == *sequence,
            Self::OfAction(id) => audit.is_some_and(|audit| audit.action_id == Some(*id)),
        }
    }
}

/// Hands every entry of a partition's chain over, in their order. The chain must be sound, and there from its
/// beginning.
fn read_chain(
    log: &dyn Log,
    wire: &Wire,
    keys: &PublicKeys,
    partition: u32,
    mut each: impl FnMut(AuditEntry) -> Result<()>,
) -> Result<()> {
    let (first, end) = log.bounds(Topic::Audit, partition)?;
    let mut verifier = Verifier::new(keys);
    let mut outcome = Ok(());
    read_range(log, Topic::Audit, partition, first, end, |records| {
        for record in records.iter() {
            match wire.read::<AuditEntry>(record.payload.unwrap_or_default()) {
                Ok(entry) => {
                    verifier.entry(&entry);
                    if outcome.is_ok() {
                        outcome = each(entry);
                    }
                }
                Err(error) => verifier.unreadable(error.to_string()),
            }
        }
        Ok(())
    })?;
    let report = verifier.finish();
    let writer = chain_writer(partition);
    ensure!(
        report.is_sound() || report.first <= 1,
        "the first entries of {writer} have passed their retention: what is to be proved then must be exported before"
    );
    ensure!(report.is_sound(), "the chain of {writer} is not sound: `weir audit verify` says where");
    outcome
}

/// Whether what was exported here before is the beginning of this tree.
fn continues(place: &Path, tree: &Tree) -> Result<()> {
    let path = place.join("checkpoint");
    let note = match fs::read_to_string(&path) {
        Ok(note) => note,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut lines = note.lines().skip(1);
    let size = lines.next().and_then(|size| size.parse().ok());
    let is_same = size.zip(lines.next()).is_some_and(|(size, root)| {
        tree.root_at(size).is_some_and(|earlier| BASE64.encode(earlier.0) == root)
    });
    ensure!(
        is_same,
        "what was exported to {} before is not the beginning of this chain: one of them was changed, or is of another \
         deployment",
        place.display()
    );
    Ok(())
}

fn write_bundle(place: &Path, size: usize, entries: &[AuditEntry]) -> Result<()> {
    let number = (size - entries.len()) / TILE_WIDTH;
    let tile = bundle(number, entries).map_err(|sequence| {
        anyhow::anyhow!(
            "entry {sequence} is too large for a bundle of entries: it has more than 65,535 bytes"
        )
    })?;
    write_tile(place, &tile)
}

fn write_tile(place: &Path, tile: &Tile) -> Result<()> {
    write(&place.join(&tile.path), &tile.bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(cannot)?;
    }
    fs::write(path, bytes).with_context(cannot)
}

/// What an auditor believes.
pub fn public_keys(context: &Context) -> Result<PublicKeys> {
    let mut keys = PublicKeys::default();
    for (id, public) in read_auditor(&context.given_or_own_keys(Role::Auditor)?)? {
        keys = keys.and(&id, &public).with_context(|| format!("{id}.pub is no Ed25519 public key"))?;
    }
    Ok(keys)
}

/// Where the key is that signs: the directory that was given for it, or else where the operator's keys are.
pub fn sign_store(context: &Context, given: Option<&Path>) -> Result<KeyStore> {
    match (given, &context.settings.keys_dir) {
        (Some(directory), _) => Ok(KeyStore::Directory(directory.to_owned())),
        (None, None) => context.given_or_own_keys(Role::Operator),
        (None, Some(_)) => bail!("give --sign-keys the directory of the role operator, whose key signs"),
    }
}
