//! A chain as a Merkle tree, in the form of transparency logs (RFC 6962, C2SP tlog-tiles and
//! tlog-checkpoint): that one record is in it can be shown without the others, to whoever has the root and
//! nothing of ours.
//!
//! The leaf of an entry is all that its hash covers: what was signed, and the signature. Leaves are counted
//! from 0, entries from 1.

use super::{framed, message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};
use weir_schemas::{AuditEntry, Digest, Signature};

/// Hashes in a tile, which so spans eight levels of the tree.
pub const TILE_WIDTH: usize = 256;

/// A tile: where it lies in a log's directory, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Path below the log's directory.
    pub path: String,
    /// Its hashes, or for entries the entries, each after its length in 2 bytes.
    pub bytes: Vec<u8>,
}

/// All that an entry's hash covers.
pub fn leaf_of(entry: &AuditEntry) -> Vec<u8> {
    let mut leaf = message(entry);
    leaf.extend(framed(&[&entry.signature.0]));
    leaf
}

/// The tree over a chain from its beginning.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    leaves: Vec<Digest>,
}

impl Tree {
    /// Appends the next entry.
    pub fn push(&mut self, entry: &AuditEntry) {
        self.leaves.push(hashed(0, &[&leaf_of(entry)]));
    }

    /// How many entries it has.
    pub fn size(&self) -> usize {
        self.leaves.len()
    }

    /// The hash over all entries.
    pub fn root(&self) -> Digest {
        root_of(&self.leaves)
    }

    /// The hash over the first `size` entries; none where there are not so many.
    pub fn root_at(&self, size: usize) -> Option<Digest> {
        self.leaves.get(..size).map(root_of)
    }

    /// The ways of all leaves to the root, computed once for all of them.
    pub fn paths(&self) -> Paths {
        let mut levels = vec![self.leaves.clone()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            // The last of an odd number goes up as it is: the subtree on the right is the smaller one.
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => hashed(1, &[&left.0, &right.0]),
                pair => pair[0],
            });
            let above = above.collect();
            levels.push(above);
        }
        Paths { levels }
    }

    /// The tiles of hashes, each level from the left.
    pub fn tiles(&self) -> Vec<Tile> {
        let (mut tiles, mut level, mut number) = (Vec::new(), self.leaves.clone(), 0);
        while !level.is_empty() {
            let mut above = Vec::new();
            for (place, hashes) in level.chunks(TILE_WIDTH).enumerate() {
                let bytes = hashes.iter().flat_map(|hash| hash.0).collect();
                tiles.push(Tile { path: path_of(&number.to_string(), place, hashes.len()), bytes });
                if hashes.len() == TILE_WIDTH {
                    above.push(root_of(hashes));
                }
            }
            (level, number) = (above, number + 1);
        }
        tiles
    }
}

/// The ways of a tree's leaves to its root.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The leaves, and above them the hashes over two of the level below.
    levels: Vec<Vec<Digest>>,
}

impl Paths {
    /// What has to be hashed together with leaf `index` to come to the root, the lowest first; none where
    /// there is no such leaf.
    pub fn of(&self, index: usize) -> Option<Vec<Digest>> {
        self.levels.first()?.get(index)?;
        let beside = self.levels.iter().enumerate().filter_map(|(level, hashes)| {
            let place = (index >> level) ^ 1;
            hashes.get(place).copied()
        });
        Some(beside.collect())
    }
}

/// Whether `path` leads from the leaf of an entry to `root` in a tree of this size.
pub fn leads_to(entry: &AuditEntry, index: usize, size: usize, path: &[Digest], root: &Digest) -> bool {
    let Some(mut last) = size.checked_sub(1) else { return false };
    let (mut at, mut hash) = (index, hashed(0, &[&leaf_of(entry)]));
    if index > last {
        return false;
    }
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = hashed(1, &[&other.0, &hash.0]);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = hashed(1, &[&hash.0, &other.0]);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// The bundle of entries beside tile `number` of their hashes.
///
/// # Errors
/// The sequence of an entry that is too large for one.
pub fn bundle(number: usize, entries: &[AuditEntry]) -> Result<Tile, i64> {
    let mut bytes = Vec::new();
    for entry in entries {
        let leaf = leaf_of(entry);
        let length = u16::try_from(leaf.len()).map_err(|_| entry.sequence)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&leaf);
    }
    Ok(Tile { path: path_of("entries", number, entries.len()), bytes })
}

/// A checkpoint: what it says, and the note that its key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The signed note: the log's name, how many entries it has, the root; then the signature.
    pub note: String,
    /// The same signature alone.
    pub signature: Signature,
}

/// The checkpoint of a log of this name, signed with an Ed25519 key.
pub fn checkpoint(origin: &str, tree: &Tree, secret: &[u8; 32]) -> Checkpoint {
    let text = format!("{origin}\n{}\n{}\n", tree.size(), BASE64.encode(tree.root().0));
    let key = SigningKey::from_bytes(secret);
    let signature = Signature(key.sign(text.as_bytes()).to_bytes());
    let signed = [&key_hash(origin, &key.verifying_key().to_bytes())[..], &signature.0].concat();
    Checkpoint { note: format!("{text}\n\u{2014} {origin} {}\n", BASE64.encode(signed)), signature }
}

/// How a note names the key that signed it.
fn key_hash(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update(b"\n\x01").chain_update(public).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn hashed(prefix: u8, parts: &[&[u8]]) -> Digest {
    let mut sha = Sha256::new();
    sha.update([prefix]);
    parts.iter().for_each(|part| sha.update(part));
    Digest(sha.finalize().into())
}

/// The greatest power of two below `size`, which is 2 or more.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn root_of(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest(Sha256::digest([]).into()),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            hashed(1, &[&root_of(left).0, &root_of(right).0])
        }
    }
}

/// `tile/LEVEL/NUMBER`, the number in groups of three digits; `.p/WIDTH` behind it where the tile is not
/// full.
fn path_of(level: &str, number: usize, width: usize) -> String {
    let mut groups = format!("{:03}", number % 1_000);
    let mut rest = number / 1_000;
    while rest > 0 {
        groups = format!("x{:03}/{groups}", rest % 1_000);
        rest /= 1_000;
    }
    let partial = if width < TILE_WIDTH { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{groups}{partial}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::ChainHead;
    use crate::testing::keys;
    use ed25519_dalek::VerifyingKey;

    fn chain(length: i64) -> Vec<AuditEntry> {
        let (mut head, keys) = (ChainHead::default(), keys());
        (0..length).map(|number| head.append("enforcer/0", keys.first(), vec![number as u8; 9])).collect()
    }

    fn tree(entries: &[AuditEntry]) -> Tree {
        let mut tree = Tree::default();
        entries.iter().for_each(|entry| tree.push(entry));
        tree
    }

    #[test]
    fn every_entry_of_a_tree_of_any_size_is_shown_to_be_in_it_and_no_other() {
        for size in 1..40usize {
            let entries = chain(size as i64);
            let (tree, paths) = (tree(&entries), tree(&entries).paths());
            for (index, entry) in entries.iter().enumerate() {
                let path = paths.of(index).unwrap();
                assert!(leads_to(entry, index, size, &path, &tree.root()), "{index} of {size}");
                let altered = AuditEntry { record: b"another".to_vec(), ..entry.clone() };
                assert!(!leads_to(&altered, index, size, &path, &tree.root()));
                assert!(!leads_to(entry, index + 1, size, &path, &tree.root()), "{index} of {size}");
                let longer = [&path[..], &[Digest::default()]].concat();
                assert!(!leads_to(entry, index, size, &longer, &tree.root()));
            }
            assert_eq!(paths.of(size), None);
        }
    }

    #[test]
    fn the_tree_is_the_one_of_rfc_6962() {
        let leaf = |number: u8| hashed(0, &[&[number]]);
        assert_eq!(
            root_of(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let leaves: Vec<Digest> = (0..3).map(leaf).collect();
        let left = hashed(1, &[&leaves[0].0, &leaves[1].0]);
        assert_eq!(root_of(&leaves), hashed(1, &[&left.0, &leaves[2].0]));
        let paths = Tree { leaves: leaves.clone() }.paths();
        assert_eq!(paths.of(2).unwrap(), [left]);
        assert_eq!(paths.of(0).unwrap(), [leaves[1], leaves[2]]);
        assert_eq!(Tree::default().paths().of(0), None);
    }

    #[test]
    fn tiles_are_full_from_the_left_and_what_is_left_is_partial() {
        let entries = chain(600);
        let tree = tree(&entries);
        let shown: Vec<(String, usize)> =
            tree.tiles().into_iter().map(|tile| (tile.path, tile.bytes.len() / 32)).collect();
        let expected =
            [("tile/0/000", 256), ("tile/0/001", 256), ("tile/0/002.p/88", 88), ("tile/1/000.p/2", 2)];
        assert_eq!(shown, expected.map(|(path, hashes)| (path.to_owned(), hashes)));
        assert_eq!(bundle(1, &entries[256..512]).unwrap().path, "tile/entries/001");
        let last = bundle(2, &entries[512..]).unwrap();
        assert_eq!(last.path, "tile/entries/002.p/88");
        let (length, rest) = last.bytes.split_at(2);
        let leaf = leaf_of(&entries[512]);
        assert_eq!((length, &rest[..leaf.len()]), (&(leaf.len() as u16).to_be_bytes()[..], &leaf[..]));
        assert_eq!(path_of("0", 1_234_067, 256), "tile/0/x001/x234/067");
        let large = AuditEntry { record: vec![0; 70_000], sequence: 7, ..entries[0].clone() };
        assert_eq!(bundle(0, &[large]), Err(7));
    }

    #[test]
    fn a_checkpoint_is_a_note_that_its_key_signed() {
        let tree = tree(&chain(3));
        let made = checkpoint("weir/enforcer/0", &tree, &[9; 32]);
        let (text, signature) = made.note.split_once("\n\n\u{2014} weir/enforcer/0 ").unwrap();
        let signed = BASE64.decode(signature.trim()).unwrap();
        let public = SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes();
        assert_eq!(signed[..4], key_hash("weir/enforcer/0", &public));
        assert_eq!(signed[4..], made.signature.0);
        let signature = ed25519_dalek::Signature::from_slice(&signed[4..]).unwrap();
        let key = VerifyingKey::from_bytes(&public).unwrap();
        assert!(key.verify_strict(format!("{text}\n").as_bytes(), &signature).is_ok());
        assert_eq!(text, format!("weir/enforcer/0\n3\n{}", BASE64.encode(tree.root().0)));
    }
}
